/// Cuts HTML into tags and text, as tolerantly as browsers do (https://html.spec.whatwg.org/multipage/parsing.html#tokenization) but without
/// a tree: any bytes give some tokens, in time linear in their number. Comments, doctypes and processing instructions are skipped.
struct HTMLTokens: Sequence, IteratorProtocol {
    enum Token: Equatable {
        case text(String)
        case start(String, [String: String])
        case end(String)
    }

    private let bytes: [UInt8]
    private var position = 0
    /// The element whose text is no markup, until its end tag.
    private var rawElement: String?

    private static let rawElements: Set = ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"]
    private static let mostAttributes = 64

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func next() -> Token? {
        while position < bytes.count {
            if let raw = rawElement {
                rawElement = nil
                let text = rawText(until: raw)
                if !text.isEmpty { return .text(raw == "title" || raw == "textarea" ? HTMLEntities.decoded(text) : text) }
                continue
            }
            if bytes[position] == UInt8(ascii: "<"), let token = markup() {
                if let token { return token }
                continue
            }
            return .text(text())
        }
        return nil
    }

    /// Up to the next `<` that begins some markup.
    private mutating func text() -> String {
        let start = position
        position += 1
        while position < bytes.count, !(bytes[position] == UInt8(ascii: "<") && beginsMarkup(position)) { position += 1 }
        return HTMLEntities.decoded(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private func beginsMarkup(_ index: Int) -> Bool {
        guard index + 1 < bytes.count else { return false }
        let next = bytes[index + 1]
        return Self.isLetter(next) || next == UInt8(ascii: "/") || next == UInt8(ascii: "!") || next == UInt8(ascii: "?")
    }

    /// Nil when it is only a `<`; a nil token when it was skipped.
    private mutating func markup() -> Token?? {
        guard beginsMarkup(position) else { return nil }
        let next = bytes[position + 1]
        if next == UInt8(ascii: "!") || next == UInt8(ascii: "?") {
            skipDeclaration()
            return .some(nil)
        }
        let isEnd = next == UInt8(ascii: "/")
        position += isEnd ? 2 : 1
        guard position < bytes.count, Self.isLetter(bytes[position]) else {
            // `</3` is a comment for browsers.
            skip(past: UInt8(ascii: ">"))
            return .some(nil)
        }
        let name = word { !Self.isSpace($0) && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ">") }.lowercased()
        let (attributes, closesItself) = attributes()
        if isEnd { return Token.end(name) }
        if Self.rawElements.contains(name), !closesItself { rawElement = name }
        return Token.start(name, attributes)
    }

    private mutating func attributes() -> ([String: String], closesItself: Bool) {
        var found: [String: String] = [:]
        var closes = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: ">") {
                position += 1
                return (found, closes)
            }
            if Self.isSpace(byte) || byte == UInt8(ascii: "/") {
                closes = byte == UInt8(ascii: "/")
                position += 1
                continue
            }
            closes = false
            let start = position
            let name = word { !Self.isSpace($0) && ![UInt8(ascii: "/"), UInt8(ascii: ">"), UInt8(ascii: "=")].contains($0) }.lowercased()
            if position == start { position += 1 }
            skipSpace()
            var value = ""
            if position < bytes.count, bytes[position] == UInt8(ascii: "=") {
                position += 1
                skipSpace()
                value = attributeValue()
            }
            if !name.isEmpty, found.count < Self.mostAttributes, found[name] == nil { found[name] = value }
        }
        return (found, closes)
    }

    private mutating func attributeValue() -> String {
        guard position < bytes.count else { return "" }
        let quote = bytes[position]
        guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else {
            return HTMLEntities.decoded(word { !Self.isSpace($0) && $0 != UInt8(ascii: ">") })
        }
        position += 1
        let value = word { $0 != quote }
        position += 1
        return HTMLEntities.decoded(value)
    }

    private mutating func rawText(until name: String) -> String {
        let start = position
        let wanted = Array(name.utf8)
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "<"), position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "/") {
                let from = position + 2
                let end = from + wanted.count
                if end <= bytes.count, zip(bytes[from..<end], wanted).allSatisfy({ $0 | 0x20 == $1 }),
                    end == bytes.count || Self.isSpace(bytes[end]) || bytes[end] == UInt8(ascii: ">") || bytes[end] == UInt8(ascii: "/")
                {
                    break
                }
            }
            position += 1
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipDeclaration() {
        if bytes[position...].starts(with: Array("<!--".utf8)) {
            position += 4
            // `<!-->` and `<!--->` are whole comments.
            if position < bytes.count, bytes[position] == UInt8(ascii: ">") { return position += 1 }
            while position < bytes.count {
                if bytes[position] == UInt8(ascii: ">"), position >= 2, bytes[position - 1] == UInt8(ascii: "-"), bytes[position - 2] == UInt8(ascii: "-") {
                    return position += 1
                }
                position += 1
            }
        } else {
            skip(past: UInt8(ascii: ">"))
        }
    }

    private mutating func skip(past byte: UInt8) {
        while position < bytes.count, bytes[position] != byte { position += 1 }
        position = Swift.min(bytes.count, position + 1)
    }
    private mutating func skipSpace() { while position < bytes.count, Self.isSpace(bytes[position]) { position += 1 } }
    private mutating func word(_ belongs: (UInt8) -> Bool) -> String {
        let start = position
        while position < bytes.count, belongs(bytes[position]) { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) && byte != 0x0b }
    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
}
