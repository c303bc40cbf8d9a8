import ControlPlane
import Crypto
import Foundation
import Platform

/// Lists in pages (API.md §1.5). A cursor is opaque and signed, and bound to caller, route and filters: used anywhere else it is
/// `invalid-cursor`, so that a store's own cursor never becomes a caller's tool.
struct Paging: Sendable {
    struct Request: Sendable {
        var limit: Int
        /// The store's own.
        var cursor: String?
        fileprivate var scope: String
    }
    static let maximum = 200
    private let keys: [SymmetricKey]

    init(keys: [SymmetricKey]) { self.keys = keys }

    /// - Parameter filters: the values that select the list, as the route understood them.
    func request(_ call: Call, filters: [String?] = []) throws -> Request {
        let limit = call.query["limit"]?.first.flatMap { Int($0) } ?? 50
        let path = call.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let scope = ([call.caller?.userId.rawValue ?? "", call.route] + path + filters.map { $0.map { "=" + $0 } ?? "-" })
            .map { "\($0.utf8.count):\($0)" }.joined()
        var request = Request(limit: limit, cursor: nil, scope: scope)
        if let text = call.query["cursor"]?.first { request.cursor = try open(text, scope) }
        return request
    }

    func answer(_ items: [Value], _ next: String?, _ request: Request) -> Answer { .page(items, next: next.map { seal($0, request.scope) }) }

    /// A page of a list that is small and whole in memory, `key` rising strictly.
    func slice<T>(_ all: [T], _ request: Request, key: (T) -> String) -> (items: [T], next: String?) {
        let rest = request.cursor.map { after in all.drop { key($0) <= after } } ?? all[...]
        let items = Array(rest.prefix(request.limit))
        return (items, items.count < rest.count ? items.last.map(key) : nil)
    }

    private func seal(_ inner: String, _ scope: String) -> String {
        let head = Digest.base64URL(Data(inner.utf8))
        return head + "." + Digest.base64URL(Array(mac(head, scope, keys[0])).prefix(16))
    }

    private func open(_ text: String, _ scope: String) throws -> String {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 4096, parts.count == 2, let inner = Digest.fromBase64URL(parts[0]).flatMap({ String(data: $0, encoding: .utf8) }),
            keys.contains(where: { Digest.sameSecret(Digest.base64URL(Array(mac(String(parts[0]), scope, $0)).prefix(16)), String(parts[1])) })
        else { throw Problem(.invalidCursor, "This cursor is not valid here. Start again without one.") }
        return inner
    }

    private func mac(_ head: String, _ scope: String, _ key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Data("\(scope)\n\(head)".utf8), using: key)
    }
}

extension Call {
    /// A query value out of a closed list; the front door has checked it against the route's declaration.
    func choice<Word: RawRepresentable>(_ name: String, _ type: Word.Type) -> Word? where Word.RawValue == String { text(name).flatMap(Word.init) }
    func text(_ name: String) -> String? { query[name]?.first }
}

extension QueryParameter {
    static func choice<Word: RawRepresentable & CaseIterable>(_ name: String, _ about: String, _ words: Word.Type) -> QueryParameter where Word.RawValue == String {
        choice(name, about, words.allCases.map(\.rawValue))
    }
}
