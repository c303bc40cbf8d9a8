import NIOCore

/// The head of an HTTP/1.1 message, read strictly: what two readers could take differently is no head (RFC 9112).
///
/// Names keep their spelling, values lose the blanks around them. Lines end in CR LF, nothing is folded.
public struct MessageHead: Sendable {
    public enum Failure: Error, Sendable { case malformed, tooLong, ended }

    public var startLine: String
    public var fields: [(name: String, value: String)]
    /// Longest head, in bytes.
    public static let limit = 32 * 1024

    public init(startLine: String, fields: [(name: String, value: String)] = []) { self.startLine = startLine; self.fields = fields }

    init(_ bytes: some Collection<UInt8>) throws(Failure) {
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x0d || $0 == 0x0a || $0 == 0x09 }) else { throw .malformed }
        var lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)[...]
        guard let first = lines.popFirst(), let start = Self.line(first), !start.isEmpty else { throw .malformed }
        startLine = String(decoding: start, as: UTF8.self)
        fields = []
        for line in lines {
            guard let line = Self.line(line), fields.count < 100 else { throw .malformed }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex, line[..<colon].allSatisfy(Self.isToken) else { throw .malformed }
            let value = line[line.index(after: colon)...].drop { $0 == 0x20 || $0 == 0x09 }
            let end = value.lastIndex { $0 != 0x20 && $0 != 0x09 }.map { value.index(after: $0) } ?? value.startIndex
            fields.append((String(decoding: line[..<colon], as: UTF8.self), String(decoding: value[..<end], as: UTF8.self)))
        }
    }

    /// Without its CR, which every line must have and none may hold.
    private static func line<Bytes: Collection<UInt8>>(_ bytes: Bytes) -> [UInt8]? {
        let all = Array(bytes)
        guard all.last == 0x0d, !all.dropLast().contains(0x0d) else { return nil }
        return Array(all.dropLast())
    }
    private static func isToken(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }

    /// All values of a field, whatever its case.
    public subscript(name: String) -> [String] { fields.filter { $0.name.lowercased() == name }.map(\.value) }
    /// - Parameter names: lower case.
    public mutating func remove(_ names: Set<String>) { fields.removeAll { names.contains($0.name.lowercased()) } }
    public mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    /// Fields of this connection alone, which no proxy passes on: those that `Connection` names, and the usual ones (RFC 9110 §7.6.1).
    public var hopByHop: Set<String> {
        let named = self["connection"].flatMap { $0.split(separator: ",") }.map { $0.filter { !$0.isWhitespace }.lowercased() }
        return Set(named).subtracting(["content-length", "transfer-encoding", "host"])
            .union(["connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "upgrade"])
    }

    /// The three words of a request's first line; nil when it has not exactly these.
    public var request: (method: String, target: String)? {
        let words = startLine.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words.allSatisfy({ !$0.isEmpty }), words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0", words[0].utf8.allSatisfy(Self.isToken) else { return nil }
        return (String(words[0]), String(words[1]))
    }
    /// A response's status; nil when the first line is none of a response.
    public var status: Int? {
        let words = startLine.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3 else { return nil }
        return Int(words[1])
    }

    public var bytes: ByteBuffer {
        var buffer = ByteBuffer(string: startLine + "\r\n")
        for (name, value) in fields { buffer.writeString("\(name): \(value)\r\n") }
        buffer.writeString("\r\n")
        return buffer
    }

    /// Reads a head; `rest` holds what came behind it.
    public static func read(
        _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, rest: inout ByteBuffer
    ) async throws -> MessageHead {
        while true {
            let view = rest.readableBytesView
            if let end = Self.end(of: view) {
                // The last line keeps its CR, as the others do when they are split at LF.
                let head = try MessageHead(view[view.startIndex...end])
                rest.moveReaderIndex(forwardBy: end + 4 - view.startIndex)
                return head
            }
            guard rest.readableBytes < limit else { throw Failure.tooLong }
            guard let more = try await bytes.next() else { throw Failure.ended }
            rest.writeImmutableBuffer(more)
        }
    }

    /// Index of the last line's CR.
    private static func end(of view: ByteBufferView) -> Int? {
        var index = view.startIndex
        while index + 3 < view.endIndex {
            if view[index] == 0x0d, view[index + 1] == 0x0a, view[index + 2] == 0x0d, view[index + 3] == 0x0a { return index }
            index += 1
        }
        return nil
    }
}
