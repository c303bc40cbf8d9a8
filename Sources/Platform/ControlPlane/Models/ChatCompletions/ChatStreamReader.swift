import Foundation
import NIOCore
import Platform

/// Cuts a stream of chat completions into its JSON chunks, wherever the bytes are split: comments, `\r\n`, missing blank lines and a
/// missing space after `data:` are all out there.
struct ChatStreamReader {
    enum Item: Sendable, Equatable { case chunk(Value), done }
    /// No endpoint writes a longer one; more is not collected.
    private static let maxLine = 16 << 20
    private var line: [UInt8] = []
    private var endedWithCR = false
    /// Data that is no whole JSON yet: the next line of the same event goes on with it.
    private var pending: [UInt8] = []
    private(set) var isDone = false

    /// - Throws: ``ModelFailure/unreachable`` for what is no JSON.
    mutating func feed(_ bytes: ByteBuffer) throws(ModelFailure) -> [Item] {
        var items: [Item] = []
        for byte in bytes.readableBytesView {
            let followsCR = endedWithCR
            endedWithCR = byte == 0x0d
            if byte == 0x0a && followsCR { continue }
            if byte == 0x0a || byte == 0x0d {
                if let item = try endLine() { items.append(item) }
            } else {
                guard line.count < Self.maxLine else { throw .unreachable }
                line.append(byte)
            }
        }
        return items
    }

    /// The end of the stream: its last line may have no end of its own.
    mutating func end() throws(ModelFailure) -> [Item] {
        let last = try endLine()
        guard pending.isEmpty else { throw .unreachable }
        return last.map { [$0] } ?? []
    }

    private mutating func endLine() throws(ModelFailure) -> Item? {
        defer { line.removeAll(keepingCapacity: true) }
        if isDone { return nil }
        if line.isEmpty {
            guard pending.isEmpty else { throw .unreachable }
            return nil
        }
        guard line.starts(with: "data:".utf8) else { return nil }
        var data = line.dropFirst(5)
        if data.first == 0x20 { data = data.dropFirst() }
        if pending.isEmpty, data.elementsEqual("[DONE]".utf8) {
            isDone = true
            return .done
        }
        if data.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { return nil }
        pending += data
        guard let value = try? JSON.value(Data(pending)) else {
            pending.append(0x0a)
            guard pending.count <= Self.maxLine else { throw .unreachable }
            return nil
        }
        pending = []
        guard value.object != nil else { throw .unreachable }
        return .chunk(value)
    }
}
