/// What a client's first TLS bytes say of the server it wants (RFC 8446 §4.1.2, RFC 6066 §3).
public enum ClientHello: Sendable, Equatable {
    /// Not enough bytes yet to tell.
    case incomplete
    /// Not TLS.
    case other
    /// A ClientHello; nil where it names no server.
    case server(String?)
    case malformed

    /// Longest beginning that is looked at: two full records, and hellos are rarely over 2 KiB.
    public static let limit = 32 * 1024

    public init(_ bytes: [UInt8]) {
        guard let first = bytes.first else { self = .incomplete; return }
        guard first == 22 else { self = .other; return }
        // A handshake message may be spread over several records.
        var message: [UInt8] = [], rest = bytes[...]
        while true {
            guard rest.count >= 5 else { break }
            let length = Int(rest[rest.startIndex + 3]) << 8 | Int(rest[rest.startIndex + 4])
            guard rest.first == 22, rest[rest.startIndex + 1] == 3, (1...16384).contains(length) else { self = .malformed; return }
            message += rest.dropFirst(5).prefix(length)
            guard rest.count >= 5 + length else { break }
            rest = rest.dropFirst(5 + length)
            if rest.isEmpty { break }
            if let whole = Self.length(message), message.count >= whole { break }
        }
        guard message.first == nil || message.first == 1 else { self = .malformed; return }
        guard let whole = Self.length(message), message.count >= whole else { self = bytes.count < Self.limit ? .incomplete : .malformed; return }
        var reader = Reader(message[4..<whole])
        guard reader.skip(34), reader.skipVector(1), reader.skipVector(2), reader.skipVector(1) else { self = .malformed; return }
        guard !reader.isAtEnd else { self = .server(nil); return }
        guard var extensions = reader.vector(2) else { self = .malformed; return }
        var name: String?
        while !extensions.isAtEnd {
            guard let kind = extensions.number(2), var body = extensions.vector(2) else { self = .malformed; return }
            guard kind == 0 else { continue }
            guard name == nil, var list = body.vector(2), list.number(1) == 0, let host = list.vector(2), list.isAtEnd else { self = .malformed; return }
            name = String(decoding: host.bytes, as: UTF8.self)
        }
        self = .server(name)
    }

    /// Of the handshake message with its head; nil while that is not there.
    private static func length(_ message: [UInt8]) -> Int? {
        message.count < 4 ? nil : 4 + (Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3]))
    }

    private struct Reader {
        var bytes: ArraySlice<UInt8>
        init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
        var isAtEnd: Bool { bytes.isEmpty }
        mutating func skip(_ count: Int) -> Bool {
            guard bytes.count >= count else { return false }
            bytes = bytes.dropFirst(count)
            return true
        }
        mutating func number(_ size: Int) -> Int? {
            guard bytes.count >= size else { return nil }
            defer { bytes = bytes.dropFirst(size) }
            return bytes.prefix(size).reduce(0) { $0 << 8 | Int($1) }
        }
        mutating func vector(_ size: Int) -> Reader? {
            guard let length = number(size), bytes.count >= length else { return nil }
            defer { bytes = bytes.dropFirst(length) }
            return Reader(bytes.prefix(length))
        }
        mutating func skipVector(_ size: Int) -> Bool { vector(size) != nil }
    }
}
