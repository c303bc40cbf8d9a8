import ControlPlane
import Foundation
import Hummingbird
import Logging
import NIOCore
import Platform
import ServiceLifecycle

/// One reader of a bot's web chat (API.md §4). Messages, run states and errors come from the event log, in order and never lost;
/// deltas and tool lines come from LiveEvents and are left out where they would not fit what was sent before.
struct ChatStream: Sendable {
    let services: APIServices
    let caller: Caller
    let bot: Bot
    /// nil = all web conversations of the bot.
    let conversation: GroupJID?
    let lastEventId: String?
    let logger: Logger

    static let pingInterval = 15.0
    /// How soon a suspended user, a paused bot or a revoked token ends the stream.
    static let checkInterval = 5.0
    /// Without LiveEvents the log is read this often.
    static let pollInterval = 1.0
    private static let batch = 200
    /// How long a reader that was told that it is too slow may take to hear it.
    private static let farewell = Duration.seconds(2)

    /// Sends until the stream ends by itself, the client goes, or the platform shuts down.
    func write(to writer: inout any ResponseBodyWriter, hangUp: @escaping @Sendable () -> Void) async throws {
        let mailbox = StreamMailbox()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withGracefulShutdownHandler { await produce(into: mailbox, hangUp: hangUp) } onGracefulShutdown: { mailbox.end() }
            }
            do {
                while let text = await mailbox.next() { try await writer.write(ByteBuffer(string: text)) }
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
        }
    }

    private enum Signal: Sendable { case live(LiveEvent), tick }

    private func produce(into mailbox: StreamMailbox, hangUp: @escaping @Sendable () -> Void) async {
        var reader = Reader(stream: self, mailbox: mailbox)
        do {
            // Subscribed before the log is read: what happens in between is seen at least once.
            let live = await services.live?.subscribe(bot: bot.botId)
            try await reader.open(resumingAfter: lastEventId)
            // Wakes are repeated by the ticks, so the oldest signals may be dropped under a flood of deltas.
            let (signals, feed) = AsyncStream<Signal>.makeStream(bufferingPolicy: .bufferingNewest(4096))
            try await withThrowingTaskGroup(of: Void.self) { group in
                if let live { group.addTask { for await event in live { feed.yield(.live(event)) } } }
                group.addTask {
                    let step = live == nil ? Self.pollInterval : Self.checkInterval
                    while !Task.isCancelled {
                        let now = services.time.now()
                        try await services.time.sleep(until: min(now + step, max(now, caller.identity.expiresAt)))
                        feed.yield(.tick)
                    }
                }
                for await signal in signals {
                    switch signal {
                    case .live(let event): try await reader.take(event)
                    case .tick: try await reader.tick()
                    }
                }
                group.cancelAll()
            }
        } catch Reader.End.said {
            mailbox.end()
        } catch Reader.End.tooSlow {
            mailbox.end(instead: Reader.error(.slowConsumer))
            do { try await Task.sleep(for: Self.farewell) } catch { return }
            hangUp()
        } catch is CancellationError {
            mailbox.end()
        } catch {
            logger.warning("an event stream broke off", metadata: ["bot": .string(bot.botId.rawValue), "cause": .string("\(error)")])
            mailbox.end()
        }
    }
}

/// The state of one stream: what was sent, and so what may be sent next.
private struct Reader {
    enum End: Error { case said, tooSlow }
    enum Code: String { case resumeGap = "resume-gap", slowConsumer = "slow-consumer", tokenExpired = "token-expired", botUnavailable = "bot-unavailable" }

    let stream: ChatStream
    let mailbox: StreamMailbox
    private var services: APIServices { stream.services }
    /// Last event of the log that was passed on or passed over.
    private var sequence = 0
    /// Numbers what has no number of its own, after `sequence`.
    private var minor = 0
    private var lastPing = Date.distantPast
    private var lastCheck = Date.distantPast
    private var running: Set<InvocationID> = []
    private var finished: Set<InvocationID> = []
    private var complete: Set<MessageID> = []
    /// Next delta index per message; a gap ends the deltas of that message.
    private var nextDelta: [MessageID: Int] = [:]

    init(stream: ChatStream, mailbox: StreamMailbox) { self.stream = stream; self.mailbox = mailbox }

    mutating func open(resumingAfter lastEventId: String?) async throws {
        let now = services.time.now()
        lastPing = now
        try send("retry: 3000\n\n")
        try await check(now)
        let position = try await services.events.lastSequence(of: stream.bot.botId)
        var gap = false
        sequence = position
        if let lastEventId {
            let known = try await resumable(lastEventId, position)
            gap = known == nil
            if let known { sequence = known }
        }
        for open in try await services.groups.unfinished(stream.bot.botId, conversation: stream.conversation) {
            if let invocation = open.invocationId { running.insert(invocation) }
            try send(event: "status", data: .fields([
                "groupJid": .string(open.groupJid.rawValue), "invocationId": open.invocationId.map { .string($0.rawValue) },
                "state": open.running ? "running" : "queued", "timestamp": .time(now),
            ]), id: nil)
        }
        if gap { try send(Self.error(.resumeGap)) }
        try await drain()
    }

    mutating func take(_ event: LiveEvent) async throws {
        switch event {
        case .wake: try await drain()
        case .delta(let group, let invocation, let message, let index, let text):
            guard shows(group), try await mayShow(invocation), !complete.contains(message), index == nextDelta[message, default: 0] else { return }
            nextDelta[message] = index + 1
            try sendLive("delta", .object([
                "groupJid": .string(group.rawValue), "invocationId": .string(invocation.rawValue), "messageId": .string(message.rawValue),
                "index": .int(index), "text": .string(text),
            ]))
        case .tool(let activity):
            guard shows(activity.groupJid), try await mayShow(activity.invocationId) else { return }
            try sendLive("tool", try Value(encoding: activity))
        }
    }

    mutating func tick() async throws {
        let now = services.time.now()
        guard now < stream.caller.identity.expiresAt else { try finish(.tokenExpired) }
        if now.timeIntervalSince(lastCheck) >= ChatStream.checkInterval { try await check(now) }
        try await drain()
        if now.timeIntervalSince(lastPing) >= ChatStream.pingInterval {
            lastPing = now
            try send(": ping\n\n")
        }
    }

    /// The last sequence number that the client has seen, when everything after it is still there.
    private func resumable(_ id: String, _ position: Int) async throws -> Int? {
        let parts = id.split(separator: "-", omittingEmptySubsequences: false)
        guard id.utf8.count <= 64, parts.count == 2, parts.allSatisfy({ (1...16).contains($0.utf8.count) && Characters.all($0, Characters.isDigit) }),
            let seen = Int(parts[0]), seen <= position
        else { return nil }
        if seen == position { return seen }
        let next = try await services.events.events(of: stream.bot.botId, after: seen, limit: 1).first?.sequence
        return next == seen + 1 ? seen : nil
    }

    /// Ends the stream when its reader may not go on reading.
    private mutating func check(_ now: Date) async throws {
        lastCheck = now
        do {
            _ = try await services.verifier.verify(stream.caller.token.reveal())
        } catch TokenError.suspended {
            try finish(.botUnavailable)
        } catch is TokenError {
            try finish(.tokenExpired)
        }
        guard let bot = try await services.records.get(Bot.self, stream.bot.key), bot.status != .deleted, bot.status != .paused else {
            try finish(.botUnavailable)
        }
    }

    private mutating func drain() async throws {
        while true {
            let events = try await services.events.events(of: stream.bot.botId, after: sequence, limit: 200)
            for event in events {
                sequence = event.sequence
                minor = 0
                guard shows(event.groupJid) else { continue }
                note(event)
                try send(event: event.name, data: event.data, id: Self.id(sequence, 0))
            }
            if events.count < 200 { return }
        }
    }

    private mutating func note(_ event: ChatEvent) {
        if finished.count > 1000 { finished = [] }
        if complete.count > 1000 { complete = [] }
        switch event.name {
        case "message":
            if let id = event.data["messageId"]?.string {
                complete.insert(MessageID(id))
                nextDelta[MessageID(id)] = nil
            }
        case "status":
            guard let id = event.data["invocationId"]?.string.map({ InvocationID($0) }) else { return }
            if event.data["state"]?.string == "running" { running.insert(id) } else if event.data["state"]?.string != "queued" {
                running.remove(id)
                finished.insert(id)
            }
        default: return
        }
    }

    /// Live lines belong between a run's `running` and its end.
    private mutating func mayShow(_ invocation: InvocationID) async throws -> Bool {
        if finished.contains(invocation) { return false }
        if running.contains(invocation) { return true }
        try await drain()
        return running.contains(invocation)
    }

    private func shows(_ group: GroupJID) -> Bool {
        stream.conversation.map { $0 == group } ?? group.rawValue.hasPrefix("web:")
    }

    private mutating func sendLive(_ name: String, _ data: Value) throws {
        minor += 1
        try send(event: name, data: data, id: Self.id(sequence, minor))
    }

    private func send(event: String, data: Value, id: String?) throws { try send(try Self.line(event, data, id)) }

    private func send(_ text: String) throws {
        guard mailbox.put(text) else { throw Task.isCancelled ? CancellationError() : End.tooSlow }
    }

    private func finish(_ code: Code) throws -> Never {
        try send(Self.error(code))
        throw End.said
    }

    private static func id(_ sequence: Int, _ minor: Int) -> String { String(format: "%016ld-%06ld", sequence, minor) }

    private static func line(_ event: String, _ data: Value, _ id: String?) throws -> String {
        (id.map { "id: \($0)\n" } ?? "") + "event: \(event)\ndata: \(String(decoding: try JSON.data(data), as: UTF8.self))\n\n"
    }

    static func error(_ code: Code) -> String {
        let detail = switch code {
        case .resumeGap: "Some events are no longer kept. Read the history again."
        case .slowConsumer: "The events were not read fast enough."
        case .tokenExpired: "The access token has expired. Connect again with a new one."
        case .botUnavailable: "The bot is paused or deleted, or the account is suspended."
        }
        let retryable = code != .botUnavailable
        return "event: error\ndata: {\"code\":\"\(code.rawValue)\",\"detail\":\"\(detail)\",\"retryable\":\(retryable)}\n\n"
    }
}
