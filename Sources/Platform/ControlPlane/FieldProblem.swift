/// What is wrong with one field of a request: its JSON path and a sentence for the caller; an entry of a problem's `errors`.
public struct FieldProblem: Sendable, Hashable, Codable {
    public var field: String
    public var message: String
    public init(_ field: String, _ message: String) { self.field = field; self.message = message }
}
