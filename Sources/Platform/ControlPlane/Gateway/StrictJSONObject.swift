import Foundation
import Platform

/// A request body of the gateway: one JSON object, read strictly (no repeated name, at most 32 levels, UTF-8 without NUL),
/// whose fields are taken out one by one; what is left over is unknown and refused (API.md §1.2).
struct StrictJSONObject {
    private var fields: [String: Value]
    private(set) var problems: [FieldProblem] = []

    /// - Throws: ``GatewayError/malformedJSON``
    init(_ body: Data) throws(GatewayError) {
        var parser = StrictJSONParser(body)
        guard let value = parser.document(), case .object(let fields) = value else { throw .malformedJSON }
        self.fields = fields
    }

    /// Names that are still there.
    var remaining: [String] { fields.keys.sorted() }

    mutating func value(_ name: String) -> Value? { fields.removeValue(forKey: name) }

    mutating func text(_ name: String, required: Bool = false, limit: ClosedRange<Int> = 0...Int.max, bytes: Bool = false) -> String? {
        guard let value = fields.removeValue(forKey: name) else {
            if required { problem(name, "is required.") }
            return nil
        }
        guard let text = value.string else { problem(name, "must be a string."); return nil }
        let count = bytes ? text.utf8.count : text.unicodeScalars.count
        guard limit.contains(count) else {
            problem(name, "must have \(limit.lowerBound) to \(limit.upperBound) \(bytes ? "bytes" : "characters")."); return nil
        }
        return text
    }
    mutating func int(_ name: String, required: Bool = false, in range: ClosedRange<Int>) -> Int? {
        guard let value = fields.removeValue(forKey: name) else {
            if required { problem(name, "is required.") }
            return nil
        }
        guard let number = value.int, range.contains(number) else {
            problem(name, "must be an integer from \(range.lowerBound) to \(range.upperBound)."); return nil
        }
        return number
    }
    mutating func choice<Choice: RawRepresentable>(_ name: String, _ choices: [Choice], required: Bool = false) -> Choice?
    where Choice.RawValue == String {
        guard let text = text(name, required: required) else { return nil }
        guard let choice = choices.first(where: { $0.rawValue == text }) else {
            problem(name, "must be one of \(choices.map(\.rawValue).joined(separator: ", ")).")
            return nil
        }
        return choice
    }
    mutating func ulid(_ name: String) -> String? {
        guard let text = text(name, required: true) else { return nil }
        guard ULID.isWellFormed(text) else { problem(name, "must be a ULID."); return nil }
        return text
    }
    mutating func object(_ name: String) -> StrictJSONObject? {
        guard let value = fields.removeValue(forKey: name) else { return nil }
        guard case .object(let inner) = value else { problem(name, "must be an object."); return nil }
        return StrictJSONObject(inner)
    }
    mutating func problem(_ field: String, _ message: String) { problems.append(FieldProblem(field, "\(field) \(message)")) }
    mutating func adopt(_ inner: StrictJSONObject, under name: String) {
        problems += inner.problems.map { FieldProblem("\(name).\($0.field)", $0.message) }
        problems += inner.remaining.map { FieldProblem("\(name).\($0)", "\(name).\($0) is not known.") }
    }

    /// - Throws: ``GatewayError/invalid(_:)`` when something was wrong or is left over.
    func finish() throws(GatewayError) {
        let all = problems + remaining.map { FieldProblem($0, "\($0) is not known.") }
        if !all.isEmpty { throw .invalid(all) }
    }

    private init(_ fields: [String: Value]) { self.fields = fields }
}

/// JSON as RFC 8259 has it, without repeated names.
private struct StrictJSONParser {
    private let bytes: [UInt8]
    private var position = 0
    private static let maxDepth = 32
    init(_ data: Data) { bytes = Array(data) }

    mutating func document() -> Value? {
        guard let value = value(depth: 0) else { return nil }
        space()
        return position == bytes.count ? value : nil
    }

    private mutating func value(depth: Int) -> Value? {
        guard depth <= Self.maxDepth else { return nil }
        space()
        guard position < bytes.count else { return nil }
        switch bytes[position] {
        case UInt8(ascii: "{"): return object(depth: depth)
        case UInt8(ascii: "["): return array(depth: depth)
        case UInt8(ascii: "\""): return text().map(Value.string)
        case UInt8(ascii: "t"): return word("true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return word("false") ? .bool(false) : nil
        case UInt8(ascii: "n"): return word("null") ? .null : nil
        default: return number()
        }
    }
    private mutating func object(depth: Int) -> Value? {
        position += 1
        var fields: [String: Value] = [:]
        space()
        if take(UInt8(ascii: "}")) { return .object(fields) }
        while true {
            space()
            guard let name = text() else { return nil }
            space()
            guard take(UInt8(ascii: ":")), let value = value(depth: depth + 1), fields.updateValue(value, forKey: name) == nil else { return nil }
            space()
            if take(UInt8(ascii: ",")) { continue }
            return take(UInt8(ascii: "}")) ? .object(fields) : nil
        }
    }
    private mutating func array(depth: Int) -> Value? {
        position += 1
        var items: [Value] = []
        space()
        if take(UInt8(ascii: "]")) { return .array(items) }
        while true {
            guard let value = value(depth: depth + 1) else { return nil }
            items.append(value)
            space()
            if take(UInt8(ascii: ",")) { continue }
            return take(UInt8(ascii: "]")) ? .array(items) : nil
        }
    }
    /// Strings are cut out here and unescaped by Foundation, which also refuses bad UTF-8 and lone surrogates.
    private mutating func text() -> String? {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { return nil }
        let start = position
        position += 1
        var escaped = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                let inside = bytes[start + 1..<position - 1]
                let text =
                    escaped ? try? JSONDecoder().decode(String.self, from: Data(bytes[start..<position])) : String(validating: inside, as: UTF8.self)
                return text.flatMap { $0.unicodeScalars.contains("\0") ? nil : $0 }
            }
            if byte < 0x20 { return nil }
            if byte == UInt8(ascii: "\\") { escaped = true; position += 1 }
            position += 1
        }
        return nil
    }
    private mutating func number() -> Value? {
        let start = position
        while position < bytes.count, "+-0123456789.eE".utf8.contains(bytes[position]) { position += 1 }
        guard position > start else { return nil }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        let digits = text.drop { $0 == "-" }
        guard text.first != "+", digits.first?.isNumber == true, digits.count == 1 || digits.first != "0" || !digits.dropFirst().first!.isNumber
        else { return nil }
        if let whole = Int(text) { return .int(whole) }
        return Double(text).flatMap { $0.isFinite && text.last != "." ? .double($0) : nil }
    }
    private mutating func word(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard position + count <= bytes.count else { return false }
        let matches = word.withUTF8Buffer { $0.elementsEqual(bytes[position..<position + count]) }
        if matches { position += count }
        return matches
    }
    private mutating func space() { while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 } }
    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }
}
