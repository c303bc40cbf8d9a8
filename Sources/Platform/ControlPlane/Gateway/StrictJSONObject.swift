import Foundation
import Platform

/// A request body of the gateway: one JSON object, read strictly (no repeated name, at most 32 levels, UTF-8 without NUL),
/// whose fields are taken out one by one; what is left over is unknown and refused (API.md §1.2).
struct StrictJSONObject {
    private var fields: [String: Value]
    private(set) var problems: [FieldProblem] = []

    /// - Throws: ``GatewayError/malformedJSON``
    init(_ body: Data) throws(GatewayError) {
        guard let value = try? JSON.strictValue(body), case .object(let fields) = value, !value.holdsNUL else { throw .malformedJSON }
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

extension Value {
    /// Whether a string or a name anywhere in it has a NUL, which some stores cut a text at.
    fileprivate var holdsNUL: Bool {
        switch self {
        case .string(let text): text.utf8.contains(0)
        case .array(let items): items.contains(where: \.holdsNUL)
        case .object(let fields): fields.contains { $0.key.utf8.contains(0) || $0.value.holdsNUL }
        default: false
        }
    }
}
