import Foundation

public enum JSONError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Not JSON (RFC 8259), at that byte.
    case malformed(String, offset: Int)
    case duplicateKey(String)
    case tooDeep(limit: Int)
    /// Not a number is no JSON number.
    case unwritableNumber

    public var description: String {
        switch self {
        case .malformed(let reason, let offset): "not valid JSON at byte \(offset): \(reason)"
        case .duplicateKey(let key): "the key “\(key.prefix(100))” appears twice in one object"
        case .tooDeep(let limit): "nested deeper than \(limit) levels"
        case .unwritableNumber: "an infinite value or not-a-number cannot be written as JSON"
        }
    }
}

/// Reads UTF-8 JSON text (RFC 8259) into a ``Value``. Strict: no comments, no trailing commas, no lone surrogates, no
/// invalid UTF-8. Numbers without fraction and exponent that fit become `int`, others `double`.
struct JSONReader {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0
    private let maxDepth: Int
    private let refusesDuplicates: Bool

    static func read(_ data: Data, maxDepth: Int, refusesDuplicates: Bool) throws(JSONError) -> Value {
        let result = data.withUnsafeBytes { raw -> Result<Value, JSONError> in
            var reader = JSONReader(
                bytes: raw.bindMemory(to: UInt8.self), maxDepth: maxDepth, refusesDuplicates: refusesDuplicates)
            do throws(JSONError) { return .success(try reader.document()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, maxDepth: Int, refusesDuplicates: Bool) {
        self.bytes = bytes; self.maxDepth = maxDepth; self.refusesDuplicates = refusesDuplicates
    }

    private mutating func document() throws(JSONError) -> Value {
        // A byte order mark may be passed over (RFC 8259 §8.1); a stranger's text has none.
        if !refusesDuplicates, bytes.count >= 3, bytes[0] == 0xef, bytes[1] == 0xbb, bytes[2] == 0xbf { position = 3 }
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw fail("text after the end") }
        return value
    }

    private func fail(_ reason: String) -> JSONError { .malformed(reason, offset: position) }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func value(depth: Int) throws(JSONError) -> Value {
        skipSpace()
        guard position < bytes.count else { throw fail("it ends too early") }
        switch bytes[position] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw fail("no value begins like this")
        }
    }

    private mutating func literal(_ text: StaticString, _ value: Value) throws(JSONError) -> Value {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count else { throw fail("it ends too early") }
        for offset in 0..<count where bytes[position + offset] != text.utf8Start[offset] {
            throw fail("no value begins like this")
        }
        position += count
        return value
    }

    private mutating func array(depth: Int) throws(JSONError) -> Value {
        guard depth <= maxDepth else { throw .tooDeep(limit: maxDepth) }
        position += 1
        var list: [Value] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(list) }
        while true {
            list.append(try value(depth: depth))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw fail("a comma or the end of the array is missing") }
            return .array(list)
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> Value {
        guard depth <= maxDepth else { throw .tooDeep(limit: maxDepth) }
        position += 1
        var members: [String: Value] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw fail("a key in quotes is missing") }
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw fail("a colon is missing") }
            let before = members.updateValue(try value(depth: depth), forKey: key)
            if before != nil, refusesDuplicates { throw .duplicateKey(key) }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw fail("a comma or the end of the object is missing") }
            return .object(members)
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let text = try Self.text(bytes[start..<position], at: start)
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw fail("a control character in a string") }
            position += 1
        }
        throw fail("a string has no end")
    }

    private static func text(_ slice: Slice<UnsafeBufferPointer<UInt8>>, at offset: Int) throws(JSONError) -> String {
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw .malformed("a string is not UTF-8", offset: offset)
        }
        return text
    }

    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var buffer = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw .malformed("a string is not UTF-8", offset: start)
                }
                return text
            case UInt8(ascii: "\\"): try escape(into: &buffer)
            case ..<0x20:
                position -= 1
                throw fail("a control character in a string")
            default: buffer.append(byte)
            }
        }
        throw fail("a string has no end")
    }

    private mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
        guard position < bytes.count else { throw fail("a string has no end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(byte)
        case UInt8(ascii: "b"): buffer.append(0x08)
        case UInt8(ascii: "f"): buffer.append(0x0c)
        case UInt8(ascii: "n"): buffer.append(0x0a)
        case UInt8(ascii: "r"): buffer.append(0x0d)
        case UInt8(ascii: "t"): buffer.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try hexUnit())
            if 0xd800...0xdbff ~= code {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw fail("half of a surrogate pair") }
                let low = UInt32(try hexUnit())
                guard 0xdc00...0xdfff ~= low else { throw fail("half of a surrogate pair") }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fail("half of a surrogate pair") }
            buffer.append(contentsOf: UTF8.encode(scalar)!)
        default:
            position -= 1
            throw fail("an unknown escape")
        }
    }

    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        guard bytes.count - position >= 4 else { throw fail("a string has no end") }
        var unit: UInt16 = 0
        for byte in bytes[position..<position + 4] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw fail("an unknown escape")
            }
            unit = unit << 4 | UInt16(digit)
        }
        position += 4
        return unit
    }

    // MARK: Numbers

    private mutating func number() throws(JSONError) -> Value {
        let start = position
        let negative = take(UInt8(ascii: "-"))
        var magnitude: UInt64 = 0
        var fits = true
        let digits = position
        while position < bytes.count, case let digit = bytes[position] &- UInt8(ascii: "0"), digit < 10 {
            let (product, over) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if over || carry { fits = false }
            magnitude = sum
            position += 1
        }
        guard position > digits else { throw fail("a number without digits") }
        guard bytes[digits] != UInt8(ascii: "0") || position == digits + 1 else { throw fail("a number with leading zeros") }
        var whole = true
        if take(UInt8(ascii: ".")) {
            whole = false
            try skipDigits()
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            whole = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try skipDigits()
        }
        if whole, fits {
            if negative, magnitude <= UInt64(Int.max) + 1 {
                return .int(magnitude == UInt64(Int.max) + 1 ? .min : -Int(magnitude))
            }
            if !negative, magnitude <= UInt64(Int.max) { return .int(Int(magnitude)) }
        }
        guard let number = Double(String(decoding: bytes[start..<position], as: UTF8.self)), number.isFinite else {
            throw .malformed("a number out of range", offset: start)
        }
        return .double(number)
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = position
        while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
        guard position > start else { throw fail("a number without digits") }
    }
}
