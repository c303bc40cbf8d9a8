import Foundation
import HTTPTypes
import Platform

@testable import WebAPI

/// Holds an answer against the schema that its route declares; what the document does not tell may not be there either.
enum SchemaCheck {
    /// What is wrong with a successful JSON answer; empty for everything else.
    static func violations(_ reply: Reply, _ method: HTTPRequest.Method, _ path: String, _ table: RouteTable) -> [String] {
        guard (200..<300).contains(reply.status), method != .head, case .route(let route, _) = table.find(String(path.prefix { $0 != "?" }), method) else { return [] }
        guard let outcome = route.declaration.answers.first(where: { $0.status == reply.status }) else {
            return ["\(method) \(route.template) does not declare \(reply.status)"]
        }
        guard case .json(let schema) = outcome.content else { return [] }
        return violations(reply.json, schema, "\(method) \(route.template)")
    }

    private static func violations(_ value: Value, _ schema: Schema, _ place: String) -> [String] {
        switch schema {
        case .anything: return []
        case .named(_, let inner): return violations(value, inner, place)
        case .text: return value.string == nil ? ["\(place) is no text"] : []
        case .integer: return value.int == nil ? ["\(place) is no integer"] : []
        case .boolean: return value.bool == nil ? ["\(place) is no boolean"] : []
        case .time: return value.string.flatMap(Timestamp.date) == nil ? ["\(place) is no time"] : []
        case .choice(let words): return value.string.map(words.contains) == true ? [] : ["\(place) is none of \(words)"]
        case .list(let item):
            guard let items = value.array else { return ["\(place) is no list"] }
            return items.enumerated().flatMap { violations($1, item, "\(place)[\($0)]") }
        case .map(let item):
            guard let fields = value.object else { return ["\(place) is no object"] }
            return fields.flatMap { violations($1, item, "\(place).\($0)") }
        case .object, .joined:
            guard let fields = value.object else { return ["\(place) is no object"] }
            let (required, optional) = members(schema)
            let all = required.merging(optional) { $1 }
            return required.keys.filter { fields[$0] == nil }.map { "\(place).\($0) is missing" }
                + fields.flatMap { name, value in all[name].map { violations(value, $0, "\(place).\(name)") } ?? ["\(place).\(name) is not declared"] }
        }
    }

    private static func members(_ schema: Schema) -> (required: [String: Schema], optional: [String: Schema]) {
        switch schema {
        case .named(_, let inner): members(inner)
        case .object(let required, let optional):
            (Dictionary(required.map { ($0.0, $0.1) }, uniquingKeysWith: { $1 }), Dictionary(optional.map { ($0.0, $0.1) }, uniquingKeysWith: { $1 }))
        case .joined(let one, let other):
            (members(one).required.merging(members(other).required) { $1 }, members(one).optional.merging(members(other).optional) { $1 })
        default: ([:], [:])
        }
    }
}
