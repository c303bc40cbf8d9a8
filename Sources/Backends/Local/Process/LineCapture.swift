#if os(Linux)
import Foundation
import Glibc

/// Reads a pipe to its end without a thread of its own and hands out lines: at most 4 KiB each, and at most 200 in ten
/// seconds, so that a process that prints a gigabyte costs neither memory nor log. Control characters are replaced.
///
/// All state but the descriptor is touched on the events thread only, hence `@unchecked`: handlers run there, and so does `endNow`.
final class LineCapture: @unchecked Sendable {
    private let descriptor: Int32
    private let thread: DescriptorThread
    private var open = true
    private let line: @Sendable (String) -> Void
    private let ended: @Sendable () -> Void
    private var rest: [UInt8] = []
    private var overlong = false
    private var windowStart = DispatchTime.now()
    private var inWindow = 0
    private var dropped = 0
    private static let longest = 4096, most = 200

    private init(_ descriptor: Int32, on thread: DescriptorThread, line: @escaping @Sendable (String) -> Void, ended: @escaping @Sendable () -> Void) {
        self.descriptor = descriptor; self.thread = thread; self.line = line; self.ended = ended
    }

    /// Takes the descriptor over and closes it at the end.
    @discardableResult
    static func start(
        _ descriptor: Int32, on thread: DescriptorThread, line: @escaping @Sendable (String) -> Void, ended: @escaping @Sendable () -> Void = {}
    ) throws -> LineCapture {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let capture = LineCapture(descriptor, on: thread, line: line, ended: ended)
        do { try thread.add(descriptor) { capture.drain() } } catch {
            Glibc.close(descriptor)
            throw error
        }
        return capture
    }

    /// Reads what is there (64 KiB at most) and stops, even though somebody may still hold the other end. On the events thread.
    func endNow() {
        for _ in 0..<4 where open { drain() }
        finish()
    }

    private func drain() {
        guard open else { return }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 {
            take(buffer[..<count])
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            finish()
        }
    }

    private func finish() {
        guard open else { return }
        open = false
        thread.remove(descriptor)
        Glibc.close(descriptor)
        if !rest.isEmpty { emit() }
        if dropped > 0 { line("(\(dropped) further lines were not logged)") }
        ended()
    }

    private func take(_ bytes: ArraySlice<UInt8>) {
        var bytes = bytes
        while !bytes.isEmpty {
            let length = bytes.withUnsafeBytes { buffer in memchr(buffer.baseAddress!, 0x0a, buffer.count).map { UnsafeRawPointer($0) - buffer.baseAddress! } }
            let room = Self.longest - rest.count, piece = length ?? bytes.count
            rest += bytes.prefix(min(room, piece))
            if piece > room { overlong = true }
            bytes = bytes.dropFirst(piece)
            if length != nil {
                emit()
                bytes = bytes.dropFirst()
            }
        }
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
