import Foundation

/// Messages of `application/vnd.amazon.eventstream`, in which services stream
/// (https://smithy.io/2.0/aws/amazon-eventstream.html).
///
///     u32 total length | u32 headers' length | u32 CRC-32 of these eight bytes
///     headers | payload | u32 CRC-32 of everything before
public struct EventStreamMessage: Sendable, Equatable {
    public var headers: [String: String]
    public var payload: Data

    /// `event`, `exception` or `error`.
    public var messageType: String { headers[":message-type"] ?? "event" }
}

public struct EventStreamDecoder: Sendable {
    public enum Malformed: Error, Sendable, Equatable { case length, checksum, header, repeatedHeader, incomplete }
    /// What services keep to: headers 128 KiB, payload 24 MiB.
    private static let maxHeaders = 128 << 10
    private static let maxTotal = (24 << 20) + maxHeaders + 16
    private var bytes: [UInt8] = []
    private var start = 0

    public init() {}

    /// Takes the next bytes, wherever they are split.
    /// - Returns: the messages that are whole now.
    public mutating func feed(_ chunk: some Sequence<UInt8>) throws(Malformed) -> [EventStreamMessage] {
        bytes.append(contentsOf: chunk)
        var messages: [EventStreamMessage] = []
        while let message = try next() { messages.append(message) }
        if start > 0 {
            bytes.removeSubrange(..<start)
            start = 0
        }
        return messages
    }

    /// At the end of the stream.
    public func end() throws(Malformed) { if !bytes.isEmpty { throw .incomplete } }

    private mutating func next() throws(Malformed) -> EventStreamMessage? {
        guard bytes.count - start >= 12 else { return nil }
        let total = Int(word(start)), headersLength = Int(word(start + 4))
        guard CRC32.of(bytes[start..<start + 8]) == word(start + 8) else { throw .checksum }
        guard total >= 16, total <= Self.maxTotal, headersLength <= Self.maxHeaders, headersLength <= total - 16 else { throw .length }
        guard bytes.count - start >= total else { return nil }
        let end = start + total
        guard CRC32.of(bytes[start..<end - 4]) == word(end - 4) else { throw .checksum }
        let headers = try Self.headers(bytes[start + 12..<start + 12 + headersLength])
        let payload = Data(bytes[start + 12 + headersLength..<end - 4])
        start = end
        return EventStreamMessage(headers: headers, payload: payload)
    }

    private func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }

    /// Values of other types than strings are read past: no service that we use says anything in them.
    private static func headers(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> [String: String] {
        var headers: [String: String] = [:], seen: Set<String> = []
        var rest = bytes
        func take(_ count: Int) throws(Malformed) -> ArraySlice<UInt8> {
            guard rest.count >= count else { throw .header }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        while !rest.isEmpty {
            let name = String(decoding: try take(Int(try take(1).first!)), as: UTF8.self)
            guard seen.insert(name).inserted else { throw .repeatedHeader }
            switch try take(1).first! {
            case 0, 1: break
            case 2: _ = try take(1)
            case 3: _ = try take(2)
            case 4: _ = try take(4)
            case 5, 8: _ = try take(8)
            case 6: _ = try take(try take(2).reduce(0) { $0 << 8 | Int($1) })
            case 7: headers[name] = String(decoding: try take(try take(2).reduce(0) { $0 << 8 | Int($1) }), as: UTF8.self)
            case 9: _ = try take(16)
            default: throw .header
            }
        }
        return headers
    }
}

/// CRC-32 of IEEE 802.3, reflected, as zlib has it.
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    }
    static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ $0 >> 8 }
    }
}
