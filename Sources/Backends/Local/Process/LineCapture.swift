#if os(Linux)
import Foundation
import Glibc

/// Reads a pipe to its end without a thread of its own and hands out lines: at most 4 KiB each, and at most 200 in ten
/// seconds, so that a process that prints a gigabyte costs neither memory nor log. Control characters are replaced.
///
/// All state is touched on `queue` only, hence `@unchecked`: the source's handlers run there, and `init` ends before it starts.
final class LineCapture: @unchecked Sendable {
    private let descriptor: Int32
    private let queue: DispatchQueue
    private let source: any DispatchSourceRead
    private let line: @Sendable (String) -> Void
    private let ended: @Sendable () -> Void
    private var rest: [UInt8] = []
    private var overlong = false
    private var windowStart = DispatchTime.now()
    private var inWindow = 0
    private var dropped = 0
    private static let longest = 4096, most = 200

    /// Takes the descriptor over and closes it at the end.
    init(_ descriptor: Int32, queue: DispatchQueue, line: @escaping @Sendable (String) -> Void, ended: @escaping @Sendable () -> Void = {}) {
        self.descriptor = descriptor; self.queue = queue; self.line = line; self.ended = ended
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { [self] in drain() }
        source.setCancelHandler { [descriptor] in Glibc.close(descriptor) }
        source.resume()
    }

    /// Reads what is there (64 KiB at most) and stops, even though somebody may still hold the other end. On `queue`.
    func endNow() {
        for _ in 0..<4 where !source.isCancelled { drain() }
        finish()
    }

    private func drain() {
        guard !source.isCancelled else { return }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 {
            for byte in buffer[..<count] { take(byte) }
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            finish()
        }
    }

    private func finish() {
        guard !source.isCancelled else { return }
        source.cancel()
        if !rest.isEmpty { emit() }
        if dropped > 0 { line("(\(dropped) further lines were not logged)") }
        ended()
        source.setEventHandler {}
    }

    private func take(_ byte: UInt8) {
        if byte == 0x0a { emit() }
        else if rest.count < Self.longest { rest.append(byte) }
        else { overlong = true }
    }

    private func emit() {
        defer { rest.removeAll(keepingCapacity: true); overlong = false }
        let now = DispatchTime.now()
        if now.uptimeNanoseconds - windowStart.uptimeNanoseconds > 10_000_000_000 {
            if dropped > 0 { line("(\(dropped) further lines were not logged)") }
            windowStart = now; inWindow = 0; dropped = 0
        }
        inWindow += 1
        guard inWindow <= Self.most else { dropped += 1; return }
        var text = String(decoding: rest, as: UTF8.self)
        if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            text = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "·" : $0 }))
        }
        if overlong { text += "…" }
        if !text.isEmpty { line(text) }
    }
}
#endif
