import Foundation

/// Text from the bytes of a web page, by what is known of its encoding: a byte order mark, the `charset` of the answer, the page's own
/// `<meta>`, and UTF-8 when nothing is said (https://encoding.spec.whatwg.org).
enum TextDecoding {
    static func text(_ bytes: [UInt8], charset declared: String?, isHTML: Bool) -> String {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { return String(decoding: bytes.dropFirst(3), as: UTF8.self) }
        if bytes.starts(with: [0xfe, 0xff]) { return converted(Array(bytes.dropFirst(2)), from: "UTF-16BE") ?? "" }
        if bytes.starts(with: [0xff, 0xfe]) { return converted(Array(bytes.dropFirst(2)), from: "UTF-16LE") ?? "" }
        let name = declared ?? (isHTML ? metaCharset(bytes) : nil)
        guard let name, let charset = normalised(name), charset != "UTF-8" else { return String(decoding: bytes, as: UTF8.self) }
        return converted(bytes, from: charset) ?? String(decoding: bytes, as: UTF8.self)
    }

    /// The name as iconv knows it; Latin 1 is Windows-1252 on the web.
    private static func normalised(_ name: String) -> String? {
        let clean = name.trimmingCharacters(in: CharacterSet(charactersIn: " \t\"'")).uppercased()
        guard !clean.isEmpty, clean.utf8.count <= 40, clean.utf8.allSatisfy({ "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:.".utf8.contains($0) }) else { return nil }
        switch clean {
        case "UTF8", "UTF-8", "UNICODE-1-1-UTF-8", "US-ASCII", "ASCII": return "UTF-8"
        case "ISO-8859-1", "ISO8859-1", "LATIN1", "L1", "CP1252": return "WINDOWS-1252"
        case "GB2312", "GBK", "X-GBK", "GB_2312-80": return "GB18030"
        case "SHIFT-JIS", "SHIFT_JIS", "SJIS", "X-SJIS", "WINDOWS-31J": return "CP932"
        case "KS_C_5601-1987", "EUC-KR", "KSC5601": return "CP949"
        case "UTF-16": return "UTF-16LE"
        default: return clean
        }
    }

    /// The `charset` of a `<meta>` within the first 1024 bytes, as the HTML standard looks for it.
    private static func metaCharset(_ bytes: [UInt8]) -> String? {
        let head = String(decoding: bytes.prefix(1024).map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
        guard let mark = head.range(of: "charset", options: .caseInsensitive) else { return nil }
        let rest = head[mark.upperBound...].drop { $0.isWhitespace }
        guard rest.first == "=" else { return nil }
        return String(rest.dropFirst().drop { $0.isWhitespace || $0 == "\"" || $0 == "'" }.prefix { $0.isLetter || $0.isNumber || "-_:.".contains($0) })
    }

    #if canImport(Glibc) || canImport(Musl)
        /// - Returns: nil for an unknown encoding. Bytes that mean nothing in it become U+FFFD.
        private static func converted(_ bytes: [UInt8], from charset: String) -> String? {
            guard let converter = iconv_open("UTF-8", charset), Int(bitPattern: converter) != -1 else { return nil }
            defer { iconv_close(converter) }
            var input = bytes.map { CChar(bitPattern: $0) }
            var out: [UInt8] = []
            var buffer = [CChar](repeating: 0, count: 64 << 10)
            input.withUnsafeMutableBufferPointer { source in
                buffer.withUnsafeMutableBufferPointer { target in
                    var from = source.baseAddress
                    var left = source.count
                    while left > 0 {
                        var to = target.baseAddress
                        var room = target.count
                        let result = iconv(converter, &from, &left, &to, &room)
                        let code = errno
                        out.append(contentsOf: target[..<(target.count - room)].map { UInt8(bitPattern: $0) })
                        guard result == -1, code != E2BIG else { continue }
                        // A sequence that is none, or one that the end has cut.
                        out += [0xef, 0xbf, 0xbd]
                        from = from?.advanced(by: 1)
                        left -= 1
                    }
                }
            }
            return String(decoding: out, as: UTF8.self)
        }
    #else
        private static func converted(_ bytes: [UInt8], from charset: String) -> String? {
            let encoding = CFStringConvertIANACharSetNameToEncoding(charset as CFString)
            guard encoding != kCFStringEncodingInvalidId else { return nil }
            return String(data: Data(bytes), encoding: String.Encoding(rawValue: CFStringConvertEncodingToNSStringEncoding(encoding)))
        }
    #endif
}
