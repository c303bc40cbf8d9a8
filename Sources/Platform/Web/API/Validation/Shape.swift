import ControlPlane
import Foundation
import Platform

/// What a JSON value must look like: the single validation layer, written as data so that the OpenAPI document can be made from it.
public indirect enum Shape: Sendable {
    case text(TextRule)
    case integer(ClosedRange<Int>)
    case boolean
    case choice([String])
    case list(Shape, count: ClosedRange<Int>, unique: Bool = false)
    case record([Field], minimum: Int = 0)
    /// Free names, each value of one shape.
    case map(names: TextRule, Shape, count: ClosedRange<Int>)
    /// Checked elsewhere: any object (a channel's credentials, by type).
    case anyObject

    public struct Field: Sendable {
        public var name: String
        public var shape: Shape
        public var required: Bool
        /// `null` clears it (merge updates).
        public var nullable: Bool
        public init(_ name: String, _ shape: Shape, required: Bool = false, nullable: Bool = false) {
            self.name = name; self.shape = shape; self.required = required; self.nullable = nullable
        }
    }

    /// The value in its canonical form (texts trimmed and NFC where the rule says so); what is wrong goes to `errors`.
    func check(_ value: Value, at path: String, into errors: inout [FieldProblem]) -> Value {
        switch (self, value) {
        case (.text(let rule), .string(let text)):
            switch rule.check(text) {
            case .success(let text): return .string(text)
            case .failure(let wrong): errors.append(FieldProblem(path, wrong.sentence))
            }
        case (.text, _): errors.append(FieldProblem(path, "Must be a string."))
        case (.integer(let range), _):
            guard let number = value.int else { errors.append(FieldProblem(path, "Must be an integer.")); break }
            guard range.contains(number) else { errors.append(FieldProblem(path, "Must be between \(range.lowerBound) and \(range.upperBound).")); break }
            return .int(number)
        case (.boolean, .bool): return value
        case (.boolean, _): errors.append(FieldProblem(path, "Must be true or false."))
        case (.choice(let words), _):
            if let word = value.string, words.contains(word) { return value }
            errors.append(FieldProblem(path, "Must be one of: \(words.joined(separator: ", "))."))
        case (.list(let shape, let count, let unique), .array(let items)):
            guard count.contains(items.count) else {
                errors.append(FieldProblem(path, "Must have \(count.lowerBound) to \(count.upperBound) entries."))
                break
            }
            let checked = items.enumerated().map { shape.check($1, at: "\(path)[\($0)]", into: &errors) }
            if unique, Set(checked).count != checked.count { errors.append(FieldProblem(path, "Has an entry twice.")) }
            return .array(checked)
        case (.list, _): errors.append(FieldProblem(path, "Must be a list."))
        case (.record(let fields, let minimum), .object(let values)):
            return .object(Self.checkRecord(fields, minimum, values, at: path, into: &errors))
        case (.map(let names, let shape, let count), .object(let values)):
            guard count.contains(values.count) else { errors.append(FieldProblem(path, "Must have \(count.lowerBound) to \(count.upperBound) entries.")); break }
            var checked: [String: Value] = [:]
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                if case .failure(let wrong) = names.check(name) { errors.append(FieldProblem("\(path).\(name.prefix(64))", "The name: \(wrong.sentence)")) }
                checked[name] = shape.check(value, at: "\(path).\(name.prefix(64))", into: &errors)
            }
            return .object(checked)
        case (.anyObject, .object): return value
        case (.record, _), (.map, _), (.anyObject, _): errors.append(FieldProblem(path.isEmpty ? "body" : path, "Must be an object."))
        }
        return value
    }

    private static func checkRecord(_ fields: [Field], _ minimum: Int, _ values: Document, at path: String, into errors: inout [FieldProblem]) -> Document {
        func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
        let known = Set(fields.map(\.name))
        for name in values.keys.sorted() where !known.contains(name) { errors.append(FieldProblem(place(String(name.prefix(64))), "There is no such field.")) }
        var checked: Document = [:]
        for field in fields {
            switch values[field.name] {
            case nil: if field.required { errors.append(FieldProblem(place(field.name), "This field is needed.")) }
            case .some(.null):
                if field.nullable { checked[field.name] = .null } else { errors.append(FieldProblem(place(field.name), "May not be null.")) }
            case .some(let value): checked[field.name] = field.shape.check(value, at: place(field.name), into: &errors)
            }
        }
        if values.count < minimum { errors.append(FieldProblem(path.isEmpty ? "body" : path, "Send at least one field.")) }
        return checked
    }

    /// A whole body: its fields, or a `validation-failed` problem that names each wrong one.
    func fields(of value: Value, at path: String = "") throws -> Document {
        var errors: [FieldProblem] = []
        let checked = check(value, at: path, into: &errors)
        if !errors.isEmpty { throw Problem.invalid(errors) }
        return checked.object ?? [:]
    }
}
