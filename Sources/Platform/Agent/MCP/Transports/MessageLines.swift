/// Cuts a byte stream into lines, wherever its chunks end; a line over the limit is never kept.
struct MessageLines {
    struct TooLong: Error {}
    private let limit: Int
    private var line: [UInt8] = []
    init(limit: Int) { self.limit = limit }

    /// Hands out the lines that `chunk` completes, without their ends; empty ones are skipped.
    mutating func feed(_ chunk: some Collection<UInt8>, _ take: ([UInt8]) throws -> Void) throws {
        var rest = chunk[...]
        while let end = rest.firstIndex(of: 0x0a) {
            try append(rest[..<end])
            rest = rest[rest.index(after: end)...]
            if line.last == 0x0d { line.removeLast() }
            let whole = line
            line.removeAll(keepingCapacity: whole.count < 1 << 16)
            if !whole.isEmpty { try take(whole) }
        }
        try append(rest)
    }
    private mutating func append(_ part: some Collection<UInt8>) throws {
        guard line.count + part.count <= limit else { throw TooLong() }
        line += part
    }
}
