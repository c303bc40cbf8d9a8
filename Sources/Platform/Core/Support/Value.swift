/// A JSON value as records hold it: the common ground of DynamoDB attributes and JSON text.
///
/// Integers and other numbers are kept apart so that counters never lose precision;
/// `int(2)` and `double(2.0)` are nevertheless equal in conditions (`Value.compare`).
public enum Value: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([Value])
    case object([String: Value])
}

/// The attributes of one record, without its key and expiry.
public typealias Document = [String: Value]

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByDictionaryLiteral {
    /// The last of a repeated key wins.
    public init(dictionaryLiteral elements: (String, Value)...) { self = .object(Dictionary(elements, uniquingKeysWith: { $1 })) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension Value {
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var int: Int? {
        switch self {
        case .int(let value): value
        case .double(let value) where value == value.rounded() && abs(value) < 9e15: Int(value)
        default: nil
        }
    }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var array: [Value]? { if case .array(let value) = self { value } else { nil } }
    public var object: [String: Value]? { if case .object(let value) = self { value } else { nil } }
    public subscript(key: String) -> Value? { object?[key] }
}
