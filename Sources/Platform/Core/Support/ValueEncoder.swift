import Foundation

// From Codable types to values. Every container writes into a `Slot` of its parent, so that nested containers may be
// kept and filled in any order, as the protocols allow.

/// A place that an encoder fills.
private final class Slot {
    enum Content { case empty, value(Value), members([String: Slot]), elements([Slot]) }
    var content = Content.empty
    init() {}
    init(_ value: Value) { content = .value(value) }

    var value: Value? {
        switch content {
        case .empty: return nil
        case .value(let value): return value
        case .members(let members): return .object(members.compactMapValues(\.value))
        case .elements(let elements): return .array(elements.map { $0.value ?? .object([:]) })
        }
    }
}

struct ValueEncoder: Encoder {
    fileprivate let slot: Slot
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    static func encode(_ value: some Encodable) throws -> Value {
        let slot = Slot()
        try slot.fill(value, [])
        return slot.value ?? .object([:])
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        slot.becomeKeyed()
        return KeyedEncodingContainer(KeyedValues<Key>(slot: slot, codingPath: codingPath))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        slot.becomeUnkeyed()
        return UnkeyedValues(slot: slot, codingPath: codingPath)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer { SingleValue(slot: slot, codingPath: codingPath) }
}

extension Slot {
    func becomeKeyed() { if case .members = content {} else { content = .members([:]) } }
    func becomeUnkeyed() { if case .elements = content {} else { content = .elements([]) } }

    func member(_ key: String) -> Slot {
        let child = Slot()
        set(key, child)
        return child
    }
    func set(_ key: String, _ child: Slot) {
        guard case .members(var members) = content else { content = .members([key: child]); return }
        content = .empty  // so that the dictionary is changed in place
        members[key] = child
        content = .members(members)
    }
    func append(_ child: Slot) {
        guard case .elements(var elements) = content else { content = .elements([child]); return }
        content = .empty
        elements.append(child)
        content = .elements(elements)
    }

    func fill<T: Encodable>(_ value: T, _ path: @autoclosure () -> [any CodingKey]) throws {
        if let value = try Slot.leaf(value, path()) { content = .value(value); return }
        let path = path()
        try value.encode(to: ValueEncoder(slot: self, codingPath: path))
        // A type that asked for no container is an empty object.
        if case .empty = content { content = .members([:]) }
    }

    /// The types whose form is ours to say.
    static func leaf<T: Encodable>(_ value: T, _ path: @autoclosure () -> [any CodingKey]) throws -> Value? {
        if T.self == String.self { return .string(value as! String) }
        if T.self == Value.self { return (value as! Value) }
        if T.self == Int.self { return .int(value as! Int) }
        if T.self == Date.self { return .string(Timestamp.text(value as! Date)) }
        if T.self == Data.self { return .string((value as! Data).base64EncodedString()) }
        if T.self == URL.self { return .string((value as! URL).absoluteString) }
        if T.self == Document.self { return .object(value as! Document) }
        return nil
    }

    static func number<N: BinaryInteger>(_ value: N, _ path: @autoclosure () -> [any CodingKey]) throws -> Value {
        guard let int = Int(exactly: value) else {
            throw EncodingError.invalidValue(value, .init(codingPath: path(), debugDescription: "an integer over 63 bits"))
        }
        return .int(int)
    }
    static func number(_ value: Double, _ path: @autoclosure () -> [any CodingKey]) throws -> Value {
        guard value.isFinite else {
            throw EncodingError.invalidValue(value, .init(codingPath: path(), debugDescription: "not a JSON number"))
        }
        return .double(value)
    }
}

private struct KeyedValues<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let slot: Slot
    let codingPath: [any CodingKey]
    private func put(_ value: Value, _ key: Key) { slot.set(key.stringValue, Slot(value)) }

    mutating func encodeNil(forKey key: Key) throws { put(.null, key) }
    mutating func encode(_ value: Bool, forKey key: Key) throws { put(.bool(value), key) }
    mutating func encode(_ value: String, forKey key: Key) throws { put(.string(value), key) }
    mutating func encode(_ value: Double, forKey key: Key) throws { put(try Slot.number(value, codingPath + [key]), key) }
    mutating func encode(_ value: Float, forKey key: Key) throws { put(try Slot.number(Double(value), codingPath + [key]), key) }
    mutating func encode(_ value: Int, forKey key: Key) throws { put(.int(value), key) }
    mutating func encode(_ value: Int8, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: Int16, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: Int32, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: Int64, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: UInt, forKey key: Key) throws { put(try Slot.number(value, codingPath + [key]), key) }
    mutating func encode(_ value: UInt8, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: UInt16, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: UInt32, forKey key: Key) throws { put(.int(Int(value)), key) }
    mutating func encode(_ value: UInt64, forKey key: Key) throws { put(try Slot.number(value, codingPath + [key]), key) }
    mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
        try slot.member(key.stringValue).fill(value, codingPath + [key])
    }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested>
    {
        ValueEncoder(slot: slot.member(key.stringValue), codingPath: codingPath + [key]).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        ValueEncoder(slot: slot.member(key.stringValue), codingPath: codingPath + [key]).unkeyedContainer()
    }
    mutating func superEncoder() -> any Encoder { ValueEncoder(slot: slot.member("super"), codingPath: codingPath) }
    mutating func superEncoder(forKey key: Key) -> any Encoder {
        ValueEncoder(slot: slot.member(key.stringValue), codingPath: codingPath + [key])
    }
}

private struct UnkeyedValues: UnkeyedEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]
    var count: Int { if case .elements(let elements) = slot.content { elements.count } else { 0 } }
    private func put(_ value: Value) { slot.append(Slot(value)) }
    private func next() -> Slot {
        let child = Slot()
        slot.append(child)
        return child
    }

    mutating func encodeNil() throws { put(.null) }
    mutating func encode(_ value: Bool) throws { put(.bool(value)) }
    mutating func encode(_ value: String) throws { put(.string(value)) }
    mutating func encode(_ value: Int) throws { put(.int(value)) }
    mutating func encode(_ value: Double) throws { put(try Slot.number(value, codingPath)) }
    mutating func encode<T: Encodable>(_ value: T) throws {
        // Other numbers come here too.
        try next().fill(value, codingPath)
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        ValueEncoder(slot: next(), codingPath: codingPath).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        ValueEncoder(slot: next(), codingPath: codingPath).unkeyedContainer()
    }
    mutating func superEncoder() -> any Encoder { ValueEncoder(slot: next(), codingPath: codingPath) }
}

private struct SingleValue: SingleValueEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]

    mutating func encodeNil() throws { slot.content = .value(.null) }
    mutating func encode(_ value: Bool) throws { slot.content = .value(.bool(value)) }
    mutating func encode(_ value: String) throws { slot.content = .value(.string(value)) }
    mutating func encode(_ value: Double) throws { slot.content = .value(try Slot.number(value, codingPath)) }
    mutating func encode(_ value: Float) throws { slot.content = .value(try Slot.number(Double(value), codingPath)) }
    mutating func encode(_ value: Int) throws { slot.content = .value(.int(value)) }
    mutating func encode(_ value: Int8) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: Int16) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: Int32) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: Int64) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: UInt) throws { slot.content = .value(try Slot.number(value, codingPath)) }
    mutating func encode(_ value: UInt8) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: UInt16) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: UInt32) throws { slot.content = .value(.int(Int(value))) }
    mutating func encode(_ value: UInt64) throws { slot.content = .value(try Slot.number(value, codingPath)) }
    mutating func encode<T: Encodable>(_ value: T) throws { try slot.fill(value, codingPath) }
}
