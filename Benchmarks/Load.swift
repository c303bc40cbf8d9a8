import Foundation

/// One keep-alive connection with blocking calls. The generator shares the processors with what it measures, so it has to be cheap:
/// a thread of its own per connection costs less than an HTTP client.
final class RawConnection {
    private let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 16 << 10)

    init(port: Int) throws {
        let (result, fd) = openSocket(port) { connect($0, $1, $2) }
        guard result == 0 else { close(fd); throw Failure("no connection to port \(port)") }
        var on: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        descriptor = fd
    }
    deinit { close(descriptor) }

    /// Sends a request and reads the whole answer.
    /// - Returns: its status.
    func exchange(_ request: String) throws -> Int {
        var request = request
        try request.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                guard count > 0 else { throw Failure("a connection broke while sending") }
                rest = rest.dropFirst(count)
            }
        }
        var filled = 0, wanted = Int.max
        while filled < wanted {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + filled, $0.count - filled) }
            guard count > 0 else { throw Failure("a connection broke while reading") }
            filled += count
            if wanted == .max, let end = head(filled) { wanted = end }
        }
        return Int(String(decoding: buffer[9..<12], as: UTF8.self)) ?? 0
    }

    /// Bytes of the whole answer, once its head is there.
    private func head(_ filled: Int) -> Int? {
        let text = String(decoding: buffer[..<filled], as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return nil }
        let length = text[..<end.lowerBound].lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
            .flatMap { Int($0.dropFirst("content-length:".count).drop { $0 == " " }) }
        return text[..<end.upperBound].utf8.count + (length ?? 0)
    }
}

/// Runs `work` on that many threads and gathers what they measured.
func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) throws -> Sample) async throws -> Sample {
    try await withThrowingTaskGroup(of: Sample.self) { group in
        for number in 0..<count {
            group.addTask {
                try await withCheckedThrowingContinuation { continuation in
                    let thread = Thread { continuation.resume(with: Result { try work(number) }) }
                    thread.stackSize = 256 << 10
                    thread.start()
                }
            }
        }
        return try await group.reduce(into: Sample()) { $0.milliseconds += $1.milliseconds }
    }
}

/// Posts Telegram updates to a bot's webhook.
struct WebhookPoster: Sendable {
    let subject: Subject
    let bot: String
    let secret: String

    func post(chat: Int, id: Int, text: String) throws { try post(RawConnection(port: subject.port), chat: chat, id: id, text: text) }

    private func post(_ connection: RawConnection, chat: Int, id: Int, text: String, group: Bool = false) throws {
        let kind = group ? #""id":-\#(chat),"type":"supergroup","title":"G""# : #""id":\#(chat),"type":"private","first_name":"A""#
        let body = #"{"update_id":\#(id),"message":{"message_id":\#(id),"date":\#(time(nil)),"chat":{\#(kind)},"from":{"id":\#(chat),"is_bot":false,"first_name":"A"},"text":"\#(text)"}}"#
        let status = try connection.exchange(
            "POST /webhook/telegram/\(bot) HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-Telegram-Bot-Api-Secret-Token: \(secret)\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        guard status == 200 else { throw Failure("the webhook answered \(status)") }
    }

    /// As fast as that many connections go.
    func closedLoop(total: Int, connections: Int = 64, firstChat: Int = 1, chats: Int = 90, group: Bool = false) async throws -> (rate: Double, sample: Sample) {
        let clock = ContinuousClock()
        let begun = clock.now
        let sample = try await onThreads(connections) { worker in
            let connection = try RawConnection(port: subject.port)
            var own = Sample()
            for number in 0..<(total / connections) {
                let start = clock.now
                try post(
                    connection, chat: firstChat + (worker * 7 + number) % chats, id: 10 + worker * 100_000 + number, text: "message \(number)", group: group)
                own.add(clock.now - start)
            }
            return own
        }
        return (Double(sample.milliseconds.count) / Sample.milliseconds(clock.now - begun) * 1000, sample)
    }

    /// At a fixed rate; each is timed from the moment it was due, so that a slow answer does not hide the wait of the next one.
    func openLoop(perSecond: Int, seconds: Int, connections: Int = 32) async throws -> Sample {
        let clock = ContinuousClock()
        let begun = clock.now + .milliseconds(50)
        return try await onThreads(connections) { worker in
            let connection = try RawConnection(port: subject.port)
            var own = Sample()
            for number in stride(from: worker, to: perSecond * seconds, by: connections) {
                let due = begun + .microseconds(number * 1_000_000 / perSecond)
                let rest = Sample.milliseconds(due - clock.now)
                if rest > 0 { usleep(UInt32(rest * 1000)) }
                try post(connection, chat: 1 + number % 90, id: 20_000_000 + number, text: "message \(number)")
                own.add(clock.now - due)
            }
            return own
        }
    }
}
