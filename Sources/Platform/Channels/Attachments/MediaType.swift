import Foundation

/// What bytes are, judged by the bytes (CHANNELS.md §1.7): a vendor's or sender's word is only a hint.
public enum MediaType {
    /// Looks at the first 512 bytes. Text without a known beginning is `text/plain`, all else `application/octet-stream`.
    public static func sniff(_ content: Data) -> String {
        let bytes = Array(content.prefix(512))
        for signature in signatures where matches(bytes, signature.pattern, at: signature.offset) { return signature.type }
        if matches(bytes, Array("RIFF".utf8), at: 0) {
            if matches(bytes, Array("WEBP".utf8), at: 8) { return "image/webp" }
            if matches(bytes, Array("WAVE".utf8), at: 8) { return "audio/wav" }
            if matches(bytes, Array("AVI ".utf8), at: 8) { return "video/x-msvideo" }
        }
        if matches(bytes, Array("ftyp".utf8), at: 4) { return baseMedia(bytes) }
        if bytes.count > 2, bytes[0] == 0xff, bytes[1] & 0xe0 == 0xe0, bytes[1] & 0x06 != 0 { return "audio/mpeg" }
        return text(bytes)
    }

    /// The sniffed type; where the bytes only tell the container (zip, plain text, unknown), the hint may tell more, but never make active
    /// content (HTML, SVG, scripts) of what does not look like it, nor an image of what is none.
    public static func resolve(_ content: Data, hint: String?) -> String {
        let found = sniff(content)
        guard let hint = hint?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces).lowercased(), isWellFormed(hint) else { return found }
        switch found {
        case "application/zip" where hint.hasPrefix("application/vnd.") || hint == "application/epub+zip" || hint == "application/java-archive": return hint
        case "text/plain" where ["text/csv", "text/markdown", "text/tab-separated-values", "application/json", "text/calendar", "text/vcard"].contains(hint): return hint
        case "application/x-ole-storage" where hint == "application/msword" || hint.hasPrefix("application/vnd.ms-"): return hint
        case "video/mp4" where hint == "audio/mp4" || hint == "audio/m4a" || hint == "audio/x-m4a": return "audio/mp4"
        case "video/webm" where hint == "audio/webm": return hint
        case "audio/ogg" where hint == "video/ogg": return hint
        default: return found
        }
    }

    private static func isWellFormed(_ type: String) -> Bool {
        let parts = type.split(separator: "/", omittingEmptySubsequences: false)
        let separators = Array("()<>@,;:\\\"/[]?=".utf8)
        guard parts.count == 2, type.utf8.count <= 100 else { return false }
        return parts.allSatisfy { part in !part.isEmpty && part.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !separators.contains($0) } }
    }

    private struct Signature {
        let pattern: [UInt8]
        var offset = 0
        let type: String
        init(_ pattern: [UInt8], _ type: String, at offset: Int = 0) { self.pattern = pattern; self.type = type; self.offset = offset }
        init(_ text: String, _ type: String, at offset: Int = 0) { self.init(Array(text.utf8), type, at: offset) }
    }

    private static let signatures: [Signature] = [
        Signature([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "image/png"),
        Signature([0xff, 0xd8, 0xff], "image/jpeg"),
        Signature("GIF87a", "image/gif"),
        Signature("GIF89a", "image/gif"),
        Signature([0x49, 0x49, 0x2a, 0x00], "image/tiff"),
        Signature([0x4d, 0x4d, 0x00, 0x2a], "image/tiff"),
        Signature("%PDF-", "application/pdf"),
        Signature([0x50, 0x4b, 0x03, 0x04], "application/zip"),
        Signature([0x50, 0x4b, 0x05, 0x06], "application/zip"),
        Signature([0x1f, 0x8b], "application/gzip"),
        Signature([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "application/x-7z-compressed"),
        Signature("Rar!\u{1a}\u{07}", "application/vnd.rar"),
        Signature("ustar", "application/x-tar", at: 257),
        Signature([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], "application/x-ole-storage"),
        Signature("OggS", "audio/ogg"),
        Signature("ID3", "audio/mpeg"),
        Signature("fLaC", "audio/flac"),
        Signature("#!AMR", "audio/amr"),
        Signature([0x1a, 0x45, 0xdf, 0xa3], "video/webm"),
        Signature("SQLite format 3\0", "application/vnd.sqlite3"),
        Signature([0x7f, 0x45, 0x4c, 0x46], "application/x-elf"),
        Signature("MZ", "application/x-msdownload"),
        Signature([0x00, 0x61, 0x73, 0x6d], "application/wasm"),
        Signature("wOFF", "font/woff"),
        Signature("wOF2", "font/woff2"),
    ]

    private static func matches(_ bytes: [UInt8], _ pattern: [UInt8], at offset: Int) -> Bool {
        bytes.count >= offset + pattern.count && bytes[offset..<offset + pattern.count].elementsEqual(pattern)
    }

    /// ISO base media (`ftyp`) by its major brand.
    private static func baseMedia(_ bytes: [UInt8]) -> String {
        let brand = String(decoding: bytes.dropFirst(8).prefix(4), as: UTF8.self)
        switch brand {
        case "heic", "heix", "mif1", "heim": return "image/heic"
        case "avif", "avis": return "image/avif"
        case "M4A ", "M4B ": return "audio/mp4"
        case "qt  ": return "video/quicktime"
        case _ where brand.hasPrefix("3g"): return "video/3gpp"
        default: return "video/mp4"
        }
    }

    private static func text(_ bytes: [UInt8]) -> String {
        var body = bytes[...]
        if body.starts(with: [0xef, 0xbb, 0xbf]) { body = body.dropFirst(3) }
        if body.starts(with: [0xff, 0xfe]) || body.starts(with: [0xfe, 0xff]) { return "text/plain" }
        guard body.allSatisfy({ $0 >= 0x20 || [0x09, 0x0a, 0x0c, 0x0d, 0x1b].contains($0) }) else { return "application/octet-stream" }
        let start = String(decoding: body, as: UTF8.self).drop(while: \.isWhitespace).lowercased()
        for mark in ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<h1", "<div", "<style", "<title", "<table", "<p>", "<a "] where start.hasPrefix(mark) {
            return "text/html"
        }
        if start.hasPrefix("<svg") || (start.hasPrefix("<?xml") || start.hasPrefix("<!doctype svg")) && start.contains("<svg") { return "image/svg+xml" }
        if start.hasPrefix("<?xml") { return "text/xml" }
        if String(validating: body.dropLast(bytes.count == 512 ? incompleteTail(body) : 0), as: UTF8.self) == nil { return "application/octet-stream" }
        return "text/plain"
    }

    /// How many bytes of a UTF-8 sequence were cut off at the end of the window.
    private static func incompleteTail(_ bytes: ArraySlice<UInt8>) -> Int {
        for back in 1...3 {
            guard bytes.count >= back else { return 0 }
            let byte = bytes[bytes.endIndex - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            return length > back ? back : 0
        }
        return 0
    }
}
