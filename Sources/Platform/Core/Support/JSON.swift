import Foundation

/// JSON as the platform reads and writes it everywhere: dates as ``Timestamp`` text, absent values omitted, keys sorted.
public enum JSON {
    /// The deepest nesting that is read at all: a guard of the stack, not a rule of any format.
    public static let maxDepth = 512

    public static func encode(_ value: some Encodable) throws -> Data { try data(ValueEncoder.encode(value)) }
    public static func text(_ value: some Encodable) throws -> String {
        String(decoding: try JSONWriter.write(ValueEncoder.encode(value)), as: UTF8.self)
    }

    /// - Throws: `DecodingError`; for text that is no JSON `dataCorrupted` over a ``JSONError``.
    public static func decode<T: Decodable>(_ type: T.Type, from data: Data) throws -> T {
        let parsed: Value
        do { parsed = try value(data) } catch {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "\(error)", underlyingError: error))
        }
        return try ValueDecoder.decode(type, from: parsed)
    }
    public static func decode<T: Decodable>(_ type: T.Type, from text: String) throws -> T {
        try decode(type, from: Data(text.utf8))
    }

    /// Reads any JSON text; of a repeated key the last value counts.
    public static func value(_ data: Data) throws(JSONError) -> Value {
        try JSONReader.read(data, maxDepth: maxDepth, refusesDuplicates: false)
    }

    /// For texts from strangers: refuses repeated keys and deep nesting (API.md §1.2).
    public static func strictValue(_ data: Data, maxDepth: Int = 32) throws(JSONError) -> Value {
        try JSONReader.read(data, maxDepth: min(maxDepth, self.maxDepth), refusesDuplicates: true)
    }

    /// - Throws: ``JSONError/unwritableNumber``
    public static func data(_ value: Value) throws(JSONError) -> Data { Data(try JSONWriter.write(value)) }
}

/// Inside of our own coders a `Value` is passed as it is; this is the way through anybody else's.
extension Value: Codable {
    public init(from decoder: any Decoder) throws {
        if let direct = decoder as? ValueDecoder { self = direct.value; return }
        let box = try decoder.singleValueContainer()
        if box.decodeNil() {
            self = .null
        } else if let value = try? box.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? box.decode(Int.self) {
            self = .int(value)
        } else if let value = try? box.decode(Double.self) {
            self = .double(value)
        } else if let value = try? box.decode(String.self) {
            self = .string(value)
        } else if let value = try? box.decode([Value].self) {
            self = .array(value)
        } else {
            self = .object(try box.decode([String: Value].self))
        }
    }
    public func encode(to encoder: any Encoder) throws {
        var box = encoder.singleValueContainer()
        switch self {
        case .null: try box.encodeNil()
        case .bool(let value): try box.encode(value)
        case .int(let value): try box.encode(value)
        case .double(let value): try box.encode(value)
        case .string(let value): try box.encode(value)
        case .array(let value): try box.encode(value)
        case .object(let value): try box.encode(value)
        }
    }
}
