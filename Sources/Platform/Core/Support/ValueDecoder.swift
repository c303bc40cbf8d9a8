import Foundation

// From values to Codable types: the counterpart of `ValueEncoder`, and as strict as Foundation's decoder about types.

struct ValueDecoder: Decoder {
    let value: Value
    fileprivate let place: Place
    var codingPath: [any CodingKey] { place.path }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    static func decode<T: Decodable>(_ type: T.Type, from value: Value) throws -> T { try value.decoded(type, .root) }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let members) = value else { throw value.mismatch([String: Value].self, place) }
        return KeyedDecodingContainer(Members<Key>(members: members, place: place))
    }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let list) = value else { throw value.mismatch([Value].self, place) }
        return Elements(list: list, place: place)
    }
    func singleValueContainer() -> any SingleValueDecodingContainer { Single(value: value, place: place) }
}

/// Where in the value we are; a list from the inside out, turned into a path only for errors.
private indirect enum Place {
    case root
    case at(any CodingKey, in: Place)
    var path: [any CodingKey] {
        switch self {
        case .root: []
        case .at(let key, let outer): outer.path + [key]
        }
    }
}

private struct IndexKey: CodingKey {
    var index: Int
    init(_ index: Int) { self.index = index }
    init?(intValue: Int) { index = intValue }
    init?(stringValue: String) { nil }
    var intValue: Int? { index }
    var stringValue: String { "Index \(index)" }
}
private struct SuperKey: CodingKey {
    init() {}
    init?(intValue: Int) { nil }
    init?(stringValue: String) {}
    var intValue: Int? { nil }
    var stringValue: String { "super" }
}

extension Value {
    fileprivate func mismatch(_ type: Any.Type, _ place: Place) -> DecodingError {
        let context = DecodingError.Context(codingPath: place.path, debugDescription: "found \(kind) instead of \(type)")
        return self == .null ? .valueNotFound(type, context) : .typeMismatch(type, context)
    }
    private var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .int, .double: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    fileprivate func decoded<T: Decodable>(_ type: T.Type, _ place: Place) throws -> T {
        if type == String.self { return try text(place) as! T }
        if type == Value.self { return self as! T }
        if type == Int.self { return try integer(Int.self, place) as! T }
        if type == Date.self {
            let text = try text(place)
            guard let date = Timestamp.date(text) else { throw corrupted("not a timestamp", place) }
            return date as! T
        }
        if type == Data.self {
            guard let data = Data(base64Encoded: try text(place)) else { throw corrupted("not base64", place) }
            return data as! T
        }
        if type == URL.self {
            guard let url = URL(string: try text(place)) else { throw corrupted("not a URL", place) }
            return url as! T
        }
        if type == Document.self {
            guard case .object(let members) = self else { throw mismatch(type, place) }
            return members as! T
        }
        return try T(from: ValueDecoder(value: self, place: place))
    }

    private func corrupted(_ reason: String, _ place: Place) -> DecodingError {
        .dataCorrupted(.init(codingPath: place.path, debugDescription: reason))
    }

    fileprivate func text(_ place: Place) throws -> String {
        guard case .string(let text) = self else { throw mismatch(String.self, place) }
        return text
    }
    fileprivate func flag(_ place: Place) throws -> Bool {
        guard case .bool(let flag) = self else { throw mismatch(Bool.self, place) }
        return flag
    }
    fileprivate func integer<N: FixedWidthInteger>(_ type: N.Type, _ place: Place) throws -> N {
        let exact: N? =
            switch self {
            case .int(let number): N(exactly: number)
            case .double(let number): N(exactly: number)
            default: throw mismatch(type, place)
            }
        guard let exact else { throw corrupted("a number that is no \(type)", place) }
        return exact
    }
    fileprivate func fraction(_ place: Place) throws -> Double {
        switch self {
        case .int(let number): Double(number)
        case .double(let number): number
        default: throw mismatch(Double.self, place)
        }
    }
}

private struct Members<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let members: [String: Value]
    let place: Place
    var codingPath: [any CodingKey] { place.path }
    var allKeys: [Key] { members.keys.compactMap { Key(stringValue: $0) } }

    private func value(_ key: Key) throws -> Value {
        guard let value = members[key.stringValue] else {
            throw DecodingError.keyNotFound(
                key, .init(codingPath: place.path, debugDescription: "“\(key.stringValue)” is missing"))
        }
        return value
    }
    private func at(_ key: any CodingKey) -> Place { .at(key, in: place) }

    func contains(_ key: Key) -> Bool { members[key.stringValue] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try value(key) == .null }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try value(key).flag(at(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try value(key).text(at(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try value(key).fraction(at(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { Float(try value(key).fraction(at(key))) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key).integer(type, at(key)) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key).integer(type, at(key)) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key).integer(type, at(key)) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key).integer(type, at(key)) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key).integer(type, at(key)) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key).integer(type, at(key)) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try value(key).integer(type, at(key)) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try value(key).integer(type, at(key)) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try value(key).integer(type, at(key)) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try value(key).integer(type, at(key)) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try value(key).decoded(type, at(key)) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        try ValueDecoder(value: value(key), place: at(key)).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try ValueDecoder(value: value(key), place: at(key)).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { ValueDecoder(value: members["super"] ?? .null, place: at(SuperKey())) }
    func superDecoder(forKey key: Key) throws -> any Decoder { ValueDecoder(value: try value(key), place: at(key)) }
}

private struct Elements: UnkeyedDecodingContainer {
    let list: [Value]
    let place: Place
    private(set) var currentIndex = 0
    init(list: [Value], place: Place) { self.list = list; self.place = place }
    var codingPath: [any CodingKey] { place.path }
    var count: Int? { list.count }
    var isAtEnd: Bool { currentIndex >= list.count }
    private var here: Place { .at(IndexKey(currentIndex), in: place) }

    /// The element stays the current one when `read` throws.
    private mutating func next<T>(_ type: T.Type, _ read: (Value, Place) throws -> T) throws -> T {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                type, .init(codingPath: here.path, debugDescription: "the array has no more elements"))
        }
        let result = try read(list[currentIndex], here)
        currentIndex += 1
        return result
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                Never.self, .init(codingPath: here.path, debugDescription: "the array has no more elements"))
        }
        guard list[currentIndex] == .null else { return false }
        currentIndex += 1
        return true
    }
    mutating func decode(_ type: Bool.Type) throws -> Bool { try next(type) { try $0.flag($1) } }
    mutating func decode(_ type: String.Type) throws -> String { try next(type) { try $0.text($1) } }
    mutating func decode(_ type: Double.Type) throws -> Double { try next(type) { try $0.fraction($1) } }
    mutating func decode(_ type: Int.Type) throws -> Int { try next(type) { try $0.integer(type, $1) } }
    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next(type) { try $0.decoded(type, $1) } }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        try next(KeyedDecodingContainer<Nested>.self) { try ValueDecoder(value: $0, place: $1).container(keyedBy: type) }
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try next((any UnkeyedDecodingContainer).self) { try ValueDecoder(value: $0, place: $1).unkeyedContainer() }
    }
    mutating func superDecoder() throws -> any Decoder { try next((any Decoder).self) { ValueDecoder(value: $0, place: $1) } }
}

private struct Single: SingleValueDecodingContainer {
    let value: Value
    let place: Place
    var codingPath: [any CodingKey] { place.path }
    func decodeNil() -> Bool { value == .null }
    func decode(_ type: Bool.Type) throws -> Bool { try value.flag(place) }
    func decode(_ type: String.Type) throws -> String { try value.text(place) }
    func decode(_ type: Double.Type) throws -> Double { try value.fraction(place) }
    func decode(_ type: Float.Type) throws -> Float { Float(try value.fraction(place)) }
    func decode(_ type: Int.Type) throws -> Int { try value.integer(type, place) }
    func decode(_ type: Int8.Type) throws -> Int8 { try value.integer(type, place) }
    func decode(_ type: Int16.Type) throws -> Int16 { try value.integer(type, place) }
    func decode(_ type: Int32.Type) throws -> Int32 { try value.integer(type, place) }
    func decode(_ type: Int64.Type) throws -> Int64 { try value.integer(type, place) }
    func decode(_ type: UInt.Type) throws -> UInt { try value.integer(type, place) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try value.integer(type, place) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try value.integer(type, place) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try value.integer(type, place) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try value.integer(type, place) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try value.decoded(type, place) }
}
