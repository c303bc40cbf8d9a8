import NIOCore

/// Cuts a byte stream into server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), wherever its chunks end.
/// Comments and unknown fields are skipped.
struct ServerSentEvents {
    struct Event: Equatable {
        var name: String
        var data: [UInt8]
        /// The last id that was given up to here; where a broken stream can be taken up again.
        var id: String? = nil
        /// Milliseconds to wait before connecting again, where the stream said so.
        var retry: Int? = nil
    }
    struct TooLong: Error {}

    /// More than this in one event is no event of a model.
    static let limit = 16 << 20

    private var line: [UInt8] = []
    private var name = ""
    private var data: [UInt8] = []
    private var hasData = false
    private var lastID: String?
    private var retry: Int?
    private var afterCarriageReturn = false

    /// The events that `chunk` completes, in order.
    mutating func feed(_ chunk: some Sequence<UInt8>) throws -> [Event] {
        var events: [Event] = []
        for byte in chunk {
            defer { afterCarriageReturn = byte == 0x0d }
            switch byte {
            case 0x0a where afterCarriageReturn: continue
            case 0x0a, 0x0d: if let event = endLine() { events.append(event) }
            default:
                guard line.count + data.count < Self.limit else { throw TooLong() }
                line.append(byte)
            }
        }
        return events
    }

    private mutating func endLine() -> Event? {
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else {
            defer { name = ""; data = []; hasData = false }
            return hasData ? Event(name: name, data: data, id: lastID, retry: retry) : nil
        }
        guard line[0] != UInt8(ascii: ":") else { return nil }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        var value = line[(colon < line.endIndex ? colon + 1 : colon)...]
        if value.first == 0x20 { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "event": name = String(decoding: value, as: UTF8.self)
        case "data":
            if hasData { data.append(0x0a) }
            data += value
            hasData = true
        case "id": if !value.contains(0), value.count <= 1024 { lastID = String(decoding: value, as: UTF8.self) }
        case "retry": if value.count <= 9, let number = Int(String(decoding: value, as: UTF8.self)), number >= 0 { retry = number }
        default: break
        }
        return nil
    }
}
