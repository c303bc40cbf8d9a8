import Foundation
import HTTPTypes

/// Finds a route by path and method. Literal segments win over placeholders.
struct RouteTable: Sendable {
    enum Match: Sendable {
        case route(Route, parameters: [String: String])
        /// The path is known, the method is not.
        case otherMethods([String])
        case none
    }
    private final class Node: Sendable {
        let literals: [String: Node]
        let placeholder: Node?
        let routes: [(route: Route, names: [String])]
        init(_ entries: [(segments: ArraySlice<String>, route: Route)]) {
            routes = entries.filter { $0.segments.isEmpty }.map { entry in
                (entry.route, RouteTable.segments(of: entry.route.template).filter(RouteTable.isPlaceholder).map { String($0.dropFirst().dropLast()) })
            }
            let deeper = entries.filter { !$0.segments.isEmpty }
            let literal = deeper.filter { !RouteTable.isPlaceholder($0.segments.first!) }
            literals = Dictionary(grouping: literal, by: { $0.segments.first! }).mapValues { Node($0.map { ($0.segments.dropFirst(), $0.route) }) }
            let variable = deeper.filter { RouteTable.isPlaceholder($0.segments.first!) }
            placeholder = variable.isEmpty ? nil : Node(variable.map { ($0.segments.dropFirst(), $0.route) })
        }
        func find(_ segments: ArraySlice<String>, _ values: [String]) -> (Node, [String])? {
            guard let first = segments.first else { return routes.isEmpty ? nil : (self, values) }
            if let found = literals[first]?.find(segments.dropFirst(), values) { return found }
            guard !first.isEmpty, let decoded = PathText.decode(first) else { return nil }
            return placeholder?.find(segments.dropFirst(), values + [decoded])
        }
    }
    private let root: Node
    let routes: [Route]

    init(_ routes: [Route]) {
        self.routes = routes
        root = Node(routes.map { (Self.segments(of: $0.template)[...], $0) })
    }

    /// - Parameter path: as sent, still percent-encoded; each segment is decoded once.
    func find(_ path: String, _ method: HTTPRequest.Method) -> Match {
        guard let (node, values) = root.find(Self.segments(of: path)[...], []) else { return .none }
        let wanted = method == .head ? HTTPRequest.Method.get : method
        if let entry = node.routes.first(where: { $0.route.method == wanted }) {
            return .route(entry.route, parameters: Dictionary(zip(entry.names, values), uniquingKeysWith: { first, _ in first }))
        }
        var methods = node.routes.map(\.route.method.rawValue)
        if methods.contains("GET") { methods.append("HEAD") }
        return .otherMethods(methods.sorted())
    }

    static func segments(of path: String) -> [String] {
        path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
    }
    static func isPlaceholder(_ segment: String) -> Bool { segment.hasPrefix("{") && segment.hasSuffix("}") }
}

/// Percent-encoding of paths and queries, decoded exactly once.
enum PathText {
    /// `nil` for a broken escape, bytes that are not UTF-8, or NUL.
    static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard rest.count >= 2, let high = hex(rest.removeFirst()), let low = hex(rest.removeFirst()) else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(0x20)
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// A query string; `nil` when a part does not decode.
    static func query(_ text: String?) -> [String: [String]]? {
        var result: [String: [String]] = [:]
        for part in (text ?? "").split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decode(pair[0], plusIsSpace: true), let value = decode(pair.count > 1 ? pair[1] : "", plusIsSpace: true) else { return nil }
            result[name, default: []].append(value)
        }
        return result
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
