import Foundation

/// Entries as blocks of a tar file (POSIX.1-2017, pax interchange format), so that `tar` reads a backup that was not encrypted.
///
/// The encoding is canonical: one entry has one form, and a reader takes no other. So no bit of a header can change unseen.
enum TarBlocks {
    static let size = 512
    /// Of the records before an entry.
    static let longestRecords = 64 << 10
    private static let contentTypeRecord = "SCHILY.xattr.user.clawbot.content-type"
    private static let largestOctal = 0o7777_7777_777

    static func padding(after count: Int) -> Int { (size - count % size) % size }

    static func encode(_ entry: ArchiveEntry) -> [UInt8] {
        var records: [(String, String)] = []
        let name = entry.kind == .folder ? entry.name + "/" : entry.name
        var target = ""
        if case .link(let text) = entry.kind { target = text }
        if !fits(name) { records.append(("path", name)) }
        if !fits(target) { records.append(("linkpath", target)) }
        if entry.size > largestOctal { records.append(("size", String(entry.size))) }
        if let type = entry.contentType { records.append((contentTypeRecord, type)) }
        var bytes: [UInt8] = []
        if !records.isEmpty {
            let data = records.flatMap { record($0.0, $0.1) }
            bytes += header(name: "pax", type: "x", size: data.count, mode: 0o600, modified: 0, target: "")
            bytes += data + [UInt8](repeating: 0, count: padding(after: data.count))
        }
        let type: Character = switch entry.kind {
        case .file: "0"
        case .folder: "5"
        case .link: "2"
        }
        return bytes + header(
            name: fits(name) ? name : "long", type: type, size: entry.size > largestOctal ? 0 : entry.size, mode: entry.mode, modified: entry.modified,
            target: fits(target) ? target : "long")
    }

    /// Reads the entry that begins with `block`; nil for the block of zeros that ends an archive.
    /// - Parameter more: reads exactly so many further bytes.
    /// - Returns: the entry and all bytes it was read from; nil where they are no entry.
    static func decode(_ block: [UInt8], more: (Int) throws -> [UInt8]) throws -> (entry: ArchiveEntry, bytes: [UInt8])? {
        var bytes = block, header = block
        var records: [String: String] = [:]
        if header[156] == UInt8(ascii: "x") {
            guard let count = octal(header[124..<136]), count <= longestRecords else { return nil }
            let data = try more(count + padding(after: count))
            guard let parsed = parse(data[..<count]) else { return nil }
            records = parsed
            header = try more(size)
            bytes += data + header
        }
        guard let mode = octal(header[100..<108]), let modified = octal(header[136..<148]), let short = octal(header[124..<136]),
            let shortName = text(header[0..<100]), let shortTarget = text(header[157..<257])
        else { return nil }
        var name = records["path"] ?? shortName
        let kind: ArchiveEntry.Kind
        switch header[156] {
        case UInt8(ascii: "0"): kind = .file(size: records["size"].flatMap { Int($0) } ?? short)
        case UInt8(ascii: "5"):
            kind = .folder
            guard name.hasSuffix("/") else { return nil }
            name.removeLast()
        case UInt8(ascii: "2"): kind = .link(target: records["linkpath"] ?? shortTarget)
        default: return nil
        }
        guard mode <= 0o777 else { return nil }
        return (ArchiveEntry(name: name, kind: kind, mode: mode, modified: modified, contentType: records[contentTypeRecord]), bytes)
    }

    private static func fits(_ text: String) -> Bool { text.utf8.count <= 100 && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f } }

    private static func header(name: String, type: Character, size: Int, mode: Int, modified: Int, target: String) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Self.size)
        func put(_ text: String, at offset: Int) { block.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8) }
        func number(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, at: 0)
        put(number(mode, 7), at: 100)
        put(number(0, 7), at: 108)
        put(number(0, 7), at: 116)
        put(number(size, 11), at: 124)
        put(number(min(modified, largestOctal), 11), at: 136)
        put("        ", at: 148)
        put(String(type), at: 156)
        put(target, at: 157)
        put("ustar", at: 257)
        put("00", at: 263)
        put(number(0, 7), at: 329)
        put(number(0, 7), at: 337)
        put(number(block.reduce(0) { $0 + Int($1) }, 6), at: 148)
        block[154] = 0
        return block
    }

    /// `<length> <name>=<value>\n`, the length counting itself.
    private static func record(_ name: String, _ value: String) -> [UInt8] {
        let rest = " \(name)=\(value)\n".utf8
        var length = rest.count
        while String(length).utf8.count + rest.count != length { length = String(length).utf8.count + rest.count }
        return Array(String(length).utf8) + Array(rest)
    }

    private static func parse(_ bytes: ArraySlice<UInt8>) -> [String: String]? {
        var rest = bytes, records: [String: String] = [:]
        while !rest.isEmpty {
            guard let space = rest.firstIndex(of: 0x20), let length = Int(String(decoding: rest[rest.startIndex..<space], as: UTF8.self)),
                length > space - rest.startIndex + 1, length <= rest.count
            else { return nil }
            let end = rest.startIndex + length
            let body = rest[(space + 1)..<(end - 1)]
            guard rest[end - 1] == 0x0a, let equals = body.firstIndex(of: 0x3d), let name = String(validating: body[body.startIndex..<equals], as: UTF8.self),
                let value = String(validating: body[(equals + 1)...], as: UTF8.self)
            else { return nil }
            records[name] = value
            rest = rest[end...]
        }
        return records
    }

    private static func octal(_ bytes: ArraySlice<UInt8>) -> Int? { text(bytes).flatMap { Int($0, radix: 8) } }
    private static func text(_ bytes: ArraySlice<UInt8>) -> String? { String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self) }
}
