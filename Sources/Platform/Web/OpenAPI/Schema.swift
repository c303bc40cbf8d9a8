import Foundation
import Platform

/// What an answer looks like, as JSON Schema 2020-12 (the dialect of OpenAPI 3.1). Objects may gain fields: clients ignore what they
/// do not know (API.md §1.2).
public indirect enum Schema: Sendable {
    case text, integer, boolean
    /// ISO 8601, UTC, milliseconds.
    case time
    case choice([String])
    case list(Schema)
    case object([(String, Schema)], optional: [(String, Schema)] = [])
    /// Free names, each value of one schema.
    case map(Schema)
    /// A component of the document, written once and referred to.
    case named(String, Schema)
    /// An object with the fields of both.
    case joined(Schema, Schema)
    case anything

    static func page(of item: Schema) -> Schema { .object([("items", .list(item))], optional: [("nextCursor", .text)]) }

    /// The schema as JSON; named ones go to `components`.
    func json(_ components: inout [String: Value]) -> Value {
        switch self {
        case .text: return ["type": "string"]
        case .integer: return ["type": "integer"]
        case .boolean: return ["type": "boolean"]
        case .time: return ["type": "string", "format": "date-time"]
        case .choice(let words): return ["type": "string", "enum": .array(words.map(Value.string))]
        case .list(let item): return ["type": "array", "items": item.json(&components)]
        case .map(let value): return ["type": "object", "additionalProperties": value.json(&components)]
        case .anything: return [:]
        case .object(let required, let optional):
            var properties: Document = [:]
            for (name, schema) in required + optional { properties[name] = schema.json(&components) }
            var document: Document = ["type": "object", "properties": .object(properties)]
            if !required.isEmpty { document["required"] = .array(required.map { .string($0.0) }) }
            return .object(document)
        case .joined(let one, let other): return ["allOf": .array([one.json(&components), other.json(&components)])]
        case .named(let name, let schema):
            if components[name] == nil {
                components[name] = [:]
                components[name] = schema.json(&components)
            }
            return ["$ref": .string("#/components/schemas/\(name)")]
        }
    }
}
