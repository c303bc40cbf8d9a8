// The one evaluator of conditions. Every SQL backend and the in-memory store call it inside their transaction;
// DynamoDB gets the same meanings compiled to expressions (AWS.md §3.6).

extension Condition {
    /// Whether the condition holds for a record; `nil` = there is none (an expired record counts as none).
    ///
    /// A comparison with another type, an absent path or null is false. ``notEquals(_:_:)`` is its exact opposite, so
    /// absent counts as different. In an absent record every path is absent.
    public func holds(in document: Document?) -> Bool {
        switch self {
        case .recordExists: document != nil
        case .recordAbsent: document == nil
        case .exists(let path): path.lookUp(in: document) != nil
        case .absent(let path): path.lookUp(in: document) == nil
        case .equals(let path, let right): Self.compare(path, right, document) { $0.isSame(as: $1) }
        case .notEquals(let path, let right): !Self.compare(path, right, document) { $0.isSame(as: $1) }
        case .lessThan(let path, let right): Self.compare(path, right, document) { $0.isOrdered(before: $1) }
        case .greaterThan(let path, let right): Self.compare(path, right, document) { $1.isOrdered(before: $0) }
        case .atMost(let path, let right): Self.compare(path, right, document) { $0.isAtMost($1) }
        case .atLeast(let path, let right): Self.compare(path, right, document) { $1.isAtMost($0) }
        case .between(let path, let low, let high):
            Self.compare(path, low, document) { $1.isAtMost($0) } && Self.compare(path, high, document) { $0.isAtMost($1) }
        case .oneOf(let path, let values):
            values.contains { value in Self.compare(path, .value(value), document) { $0.isSame(as: $1) } }
        case .beginsWith(let path, let prefix):
            path.lookUp(in: document)?.string.map { $0.utf8.starts(with: prefix.utf8) } ?? false
        case .contains(let path, let right): Self.compare(path, right, document) { $0.holds($1) }
        case .count(let path, let comparison, let right): Self.count(path, comparison, right, document)
        case .and(let parts): parts.allSatisfy { $0.holds(in: document) }
        case .or(let parts): parts.contains { $0.holds(in: document) }
        case .not(let part): !part.holds(in: document)
        }
    }

    /// Applies `test` to both sides when both are there and neither is null.
    private static func compare(_ path: Path, _ right: Operand, _ document: Document?, _ test: (Value, Value) -> Bool) -> Bool {
        guard let left = path.lookUp(in: document), left != .null, let right = right.resolve(in: document), right != .null else {
            return false
        }
        return test(left, right)
    }

    private static func count(_ path: Path, _ comparison: Comparison, _ right: Operand, _ document: Document?) -> Bool {
        let count: Int
        switch path.lookUp(in: document) {
        case .string(let text): count = text.utf8.count
        case .array(let elements): count = elements.count
        case .object(let members): count = members.count
        default: return false
        }
        guard let right = right.resolve(in: document) else { return false }
        let left = Value.int(count)
        return switch comparison {
        case .equals: left.isSame(as: right)
        case .lessThan: left.isOrdered(before: right)
        case .atMost: left.isAtMost(right)
        case .greaterThan: right.isOrdered(before: left)
        case .atLeast: right.isAtMost(left)
        }
    }
}

extension Operand {
    func resolve(in document: Document?) -> Value? {
        switch self {
        case .value(let value): value
        case .path(let path): path.lookUp(in: document)
        }
    }
}

extension Path {
    /// The value at this path, `nil` when any step is absent or of another type.
    public func lookUp(in document: Document?) -> Value? {
        guard let document, case .name(let name) = elements.first, var value = document[name] else { return nil }
        for element in elements.dropFirst() {
            switch (element, value) {
            case (.name(let name), .object(let members)):
                guard let member = members[name] else { return nil }
                value = member
            case (.index(let index), .array(let list)) where list.indices.contains(index): value = list[index]
            default: return nil
            }
        }
        return value
    }
}

extension Value {
    /// Equality as records mean it: `int(2)` is `double(2.0)`, strings are equal byte for byte, other types never.
    public func isSame(as other: Value) -> Bool {
        switch (self, other) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
        case (.object(let a), .object(let b)):
            a.count == b.count && a.allSatisfy { key, value in b[key].map(value.isSame) ?? false }
        default: Value.compare(self, other) == .equal
        }
    }

    /// Order of two numbers or two strings (by UTF-8 bytes); `nil` for anything else. Not a number compares with nothing.
    static func compare(_ left: Value, _ right: Value) -> Ordering? {
        switch (left, right) {
        case (.string(let a), .string(let b)):
            a.utf8.elementsEqual(b.utf8) ? .equal : a.utf8.lexicographicallyPrecedes(b.utf8) ? .less : .greater
        case (.int(let a), .int(let b)): a == b ? .equal : a < b ? .less : .greater
        case (.double(let a), .double(let b)): order(a, b)
        case (.int(let a), .double(let b)): order(a, b)
        case (.double(let a), .int(let b)): order(b, a).map { $0 == .less ? .greater : $0 == .greater ? .less : .equal }
        default: nil
        }
    }
    enum Ordering { case less, equal, greater }

    func isOrdered(before other: Value) -> Bool { Value.compare(self, other) == .less }
    func isAtMost(_ other: Value) -> Bool { Value.compare(self, other).map { $0 != .greater } ?? false }

    /// Substring (by bytes) of a string, or element of a list.
    fileprivate func holds(_ part: Value) -> Bool {
        switch (self, part) {
        case (.string(let text), .string(let piece)): piece.isEmpty || Array(text.utf8).firstRange(of: Array(piece.utf8)) != nil
        case (.array(let list), _): list.contains { $0.isSame(as: part) }
        default: false
        }
    }

    private static func order(_ a: Double, _ b: Double) -> Ordering? {
        a.isNaN || b.isNaN ? nil : a == b ? .equal : a < b ? .less : .greater
    }
    /// Exact also where the integer has more than 53 bits.
    private static func order(_ a: Int, _ b: Double) -> Ordering? {
        if b.isNaN { return nil }
        if b >= 0x1p63 { return .less }
        if b < -0x1p63 { return .greater }
        let whole = Int(b.rounded(.towardZero))
        return a == whole ? order(0.0 as Double, b - Double(whole)) : a < whole ? .less : .greater
    }
}
