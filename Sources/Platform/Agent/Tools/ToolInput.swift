import Platform

/// A tool's input, read with sentences that tell the model what it got wrong.
struct ToolInput {
    private let fields: [String: Value]

    init(_ input: Value) throws(ToolError) {
        guard let fields = input.object else { throw ToolError("The input must be a JSON object.") }
        self.fields = fields
    }

    func text(_ name: String) throws(ToolError) -> String {
        guard let text = try optionalText(name) else { throw ToolError("The parameter `\(name)` is missing.") }
        return text
    }
    func optionalText(_ name: String) throws(ToolError) -> String? {
        switch fields[name] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        default: throw ToolError("The parameter `\(name)` must be a string.")
        }
    }
    /// Also from a number in a string, which models send now and then.
    func optionalInteger(_ name: String, atLeast least: Int = 0) throws(ToolError) -> Int? {
        let value: Int?
        switch fields[name] {
        case nil, .null?: return nil
        case .string(let text)?: value = Int(text)
        case let other?: value = other.int
        }
        guard let value, value >= least else { throw ToolError("The parameter `\(name)` must be an integer of at least \(least).") }
        return value
    }
    func flag(_ name: String) throws(ToolError) -> Bool? {
        switch fields[name] {
        case nil, .null?: return nil
        case .bool(let flag)?: return flag
        case .string("true")?: return true
        case .string("false")?: return false
        default: throw ToolError("The parameter `\(name)` must be true or false.")
        }
    }
    func choice<T: RawRepresentable & CaseIterable>(_ name: String, _ type: T.Type) throws(ToolError) -> T? where T.RawValue == String {
        guard let text = try optionalText(name) else { return nil }
        guard let value = T(rawValue: text) else {
            throw ToolError("The parameter `\(name)` must be one of \(T.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return value
    }
    func list(_ name: String) throws(ToolError) -> [Value] {
        guard let list = fields[name]?.array else { throw ToolError("The parameter `\(name)` must be a list.") }
        return list
    }
}

/// The JSON schema of an input.
enum Schema {
    static func object(_ properties: [String: Value], required: [String]) -> Value {
        .object([
            "type": "object", "properties": .object(properties), "required": .array(required.map(Value.string)), "additionalProperties": false,
        ])
    }
    static func string(_ description: String) -> Value { .object(["type": "string", "description": .string(description)]) }
    static func choice(_ values: [String], _ description: String) -> Value {
        .object(["type": "string", "enum": .array(values.map(Value.string)), "description": .string(description)])
    }
    static func integer(_ description: String) -> Value { .object(["type": "integer", "description": .string(description)]) }
    static func flag(_ description: String) -> Value { .object(["type": "boolean", "description": .string(description)]) }
}
