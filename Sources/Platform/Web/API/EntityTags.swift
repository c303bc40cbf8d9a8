import ControlPlane
import Foundation
import HTTPTypes
import Platform

/// `If-Match` and `If-None-Match` (API.md §1.6): strong, opaque tags.
enum EntityTags {
    static func header(_ etag: String) -> HTTPFields { [.eTag: quoted(etag)] }
    static func quoted(_ etag: String) -> String { "\"\(etag.filter { $0 != "\"" })\"" }

    static func expectation(_ call: Call) throws -> MemoryService.Expectation {
        if let text = call.header(.ifMatch) {
            guard let tag = single(text) else { throw Problem.invalid("header.if-match", "One strong entity tag in double quotes.") }
            return .matches(etag: tag)
        }
        if let text = call.header(.ifNoneMatch) {
            guard text.trimmingCharacters(in: .whitespaces) == "*" else { throw Problem.invalid("header.if-none-match", "Only * on a write.") }
            return .absent
        }
        return .anything
    }

    static func condition(_ call: Call) throws -> ObjectCondition? {
        switch try expectation(call) {
        case .anything: nil
        case .absent: .absent
        case .matches(let etag): .matches(etag: etag)
        }
    }

    /// Whether the client has this version already.
    static func isKnown(_ etag: String, to call: Call) -> Bool {
        guard let text = call.header(.ifNoneMatch) else { return false }
        return text.split(separator: ",").contains { part in
            let tag = part.trimmingCharacters(in: .whitespaces)
            return tag == "*" || tag == quoted(etag) || tag == "W/" + quoted(etag)
        }
    }

    private static func single(_ text: String) -> String? {
        let text = text.trimmingCharacters(in: .whitespaces)
        guard text.utf8.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") else { return nil }
        let inner = text.dropFirst().dropLast()
        return inner.contains("\"") ? nil : String(inner)
    }
}
