import Foundation
import Platform

/// The same shape that checks a body, told to clients.
extension Shape {
    var json: Value {
        switch self {
        case .text(let rule): return rule.json
        case .integer(let range): return ["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)]
        case .boolean: return ["type": "boolean"]
        case .choice(let words): return ["type": "string", "enum": .array(words.map(Value.string))]
        case .list(let shape, let count, let unique):
            var document: Document = ["type": "array", "items": shape.json, "minItems": .int(count.lowerBound), "maxItems": .int(count.upperBound)]
            if unique { document["uniqueItems"] = true }
            return .object(document)
        case .record(let fields, let minimum):
            var properties: Document = [:]
            for field in fields { properties[field.name] = field.nullable ? ["anyOf": .array([field.shape.json, ["type": "null"]])] : field.shape.json }
            var document: Document = ["type": "object", "properties": .object(properties), "additionalProperties": false]
            let required = fields.filter(\.required).map { Value.string($0.name) }
            if !required.isEmpty { document["required"] = .array(required) }
            if minimum > 0 { document["minProperties"] = .int(minimum) }
            return .object(document)
        case .map(let names, let shape, let count):
            return [
                "type": "object", "propertyNames": names.json, "additionalProperties": shape.json, "minProperties": .int(count.lowerBound),
                "maxProperties": .int(count.upperBound),
            ]
        case .anyObject: return ["type": "object"]
        }
    }
}

extension TextRule {
    /// Lengths in JSON Schema count Unicode scalars, as ours do; a limit in bytes is told as one in characters that always fits.
    var json: Value {
        var document: Document = ["type": "string"]
        if let scalars {
            document["minLength"] = .int(scalars.lowerBound)
            document["maxLength"] = .int(scalars.upperBound)
        } else if let bytes {
            document["minLength"] = .int(min(bytes.lowerBound, 1))
            document["maxLength"] = .int(bytes.upperBound)
        }
        if let pattern = grammar?.pattern {
            document["pattern"] = .string(pattern)
        } else if !multiline {
            document["pattern"] = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
        }
        var notes: [String] = []
        if let grammar { notes.append("Must be \(grammar.shown).") }
        if let bytes { notes.append("\(bytes.lowerBound) to \(bytes.upperBound) bytes of UTF-8.") }
        if isName { notes.append("Without invisible or direction-changing characters.") }
        if !notes.isEmpty { document["description"] = .string(notes.joined(separator: " ")) }
        return .object(document)
    }
}
