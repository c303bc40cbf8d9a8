import Foundation
import Platform

/// Reads a JSON body as strictly as the API promises: UTF-8, nesting ≤ 32, no duplicate keys, nothing after the value (SEC-31).
struct StrictJSON {
    struct Malformed: Error { var reason: String; var offset: Int }

    static let maximumDepth = 32
    private let bytes: [UInt8]
    private var position = 0

    static func read(_ data: Data) throws(Malformed) -> Value {
        var reader = StrictJSON(bytes: Array(data))
        reader.skipSpace()
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == reader.bytes.count else { throw reader.malformed("something follows the value") }
        return value
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }
    private func malformed(_ reason: String) -> Malformed { Malformed(reason: reason, offset: position) }
    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func value(depth: Int) throws(Malformed) -> Value {
        guard let byte = next else { throw malformed("it ends too early") }
        switch byte {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): try word("true"); return .bool(true)
        case UInt8(ascii: "f"): try word("false"); return .bool(false)
        case UInt8(ascii: "n"): try word("null"); return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw malformed("a value was expected")
        }
    }

    private mutating func word(_ text: StaticString) throws(Malformed) {
        let length = text.utf8CodeUnitCount
        guard position + length <= bytes.count, (0..<length).allSatisfy({ bytes[position + $0] == text.utf8Start[$0] }) else {
            throw malformed("a value was expected")
        }
        position += length
    }

    private mutating func object(depth: Int) throws(Malformed) -> Value {
        guard depth <= Self.maximumDepth else { throw malformed("it is nested too deeply") }
        position += 1
        var fields: [String: Value] = [:]
        skipSpace()
        if next == UInt8(ascii: "}") { position += 1; return .object(fields) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw malformed("a field name was expected") }
            let name = try string()
            guard fields[name] == nil else { throw malformed("a field appears twice") }
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw malformed("a colon was expected") }
            position += 1
            skipSpace()
            fields[name] = try value(depth: depth)
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"): position += 1; return .object(fields)
            default: throw malformed("a comma or a closing brace was expected")
            }
        }
    }

    private mutating func array(depth: Int) throws(Malformed) -> Value {
        guard depth <= Self.maximumDepth else { throw malformed("it is nested too deeply") }
        position += 1
        var items: [Value] = []
        skipSpace()
        if next == UInt8(ascii: "]") { position += 1; return .array(items) }
        while true {
            skipSpace()
            items.append(try value(depth: depth))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"): position += 1; return .array(items)
            default: throw malformed("a comma or a closing bracket was expected")
            }
        }
    }

    private mutating func string() throws(Malformed) -> String {
        position += 1
        var out: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else { throw malformed("a string is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(into: &out)
            case 0..<0x20: throw malformed("a control character in a string")
            default: out.append(byte)
            }
        }
        throw malformed("a string does not end")
    }

    private mutating func escape(into out: inout [UInt8]) throws(Malformed) {
        guard let byte = next else { throw malformed("a string does not end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0c)
        case UInt8(ascii: "n"): out.append(0x0a)
        case UInt8(ascii: "r"): out.append(0x0d)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try hex4())
            if (0xd800..<0xdc00).contains(code) {
                guard next == UInt8(ascii: "\\"), position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "u") else {
                    throw malformed("half of a surrogate pair")
                }
                position += 2
                let low = UInt32(try hex4())
                guard (0xdc00..<0xe000).contains(low) else { throw malformed("half of a surrogate pair") }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw malformed("half of a surrogate pair") }
            out += Array(String(Character(scalar)).utf8)
        default: throw malformed("an unknown escape")
        }
    }

    private mutating func hex4() throws(Malformed) -> UInt16 {
        guard position + 4 <= bytes.count else { throw malformed("a string does not end") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            let byte = bytes[position]
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { throw malformed("a bad \\u escape") }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }

    private mutating func number() throws(Malformed) -> Value {
        let start = position
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }
        if next == UInt8(ascii: "-") { position += 1 }
        guard isDigit(next) else { throw malformed("a digit was expected") }
        if next == UInt8(ascii: "0") { position += 1 } else { while isDigit(next) { position += 1 } }
        var whole = true
        if next == UInt8(ascii: ".") {
            whole = false
            position += 1
            guard isDigit(next) else { throw malformed("a digit was expected") }
            while isDigit(next) { position += 1 }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            whole = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard isDigit(next) else { throw malformed("a digit was expected") }
            while isDigit(next) { position += 1 }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if whole, let integer = Int(text) { return .int(integer) }
        guard let double = Double(text), double.isFinite else { throw malformed("a number is too large") }
        return .double(double)
    }
}
