import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// Start to listening, and memory at rest.
func startup(_ stage: Stage) async throws {
    print("start (second and later starts on existing data; the first makes keys)")
    var sample = Sample()
    let first = try await Subject.start(stage, [:])
    let directory = first.directory
    report("first start on an empty directory, to listening", "\(Sample.text(Double(first.startup.milliseconds))) ms")
    first.stop(keep: true)
    var rss = 0.0
    for round in 0..<(stage.quick ? 3 : 9) {
        let subject = try await Subject.start(stage, [:], directory: directory)
        sample.add(subject.startup)
        if round == 0 {
            try await Task.sleep(for: .seconds(3))
            rss = Subject.memory(subject.process.processIdentifier, "status", "VmRSS") ?? .nan
        }
        subject.stop(keep: true)
    }
    try? FileManager.default.removeItem(at: directory)
    report("start to listening", sample.summary, budget: "< 150 ms", holds: sample.median < 150)
    report("resident memory, idle", "\(Sample.text(rss)) MiB", budget: "< 60 MiB", holds: rss < 60)
    print("")
}

/// Webhooks accepted: verified, stored and queued durably (fsync on), then answered.
func webhooks(_ stage: Stage) async throws {
    print("webhook accepted (SQLite, synchronous=FULL; stored and queued before the answer)")
    // One slow run holds the only slot, so that what is measured is acceptance and not the agents that would follow.
    try await stage.withServer(["CLAWBOT_COMPUTE_MAX_TASKS": "1"]) { subject in
        let admin = try await BenchUser.admin(subject)
        let bot = try await admin.bot("Bench")
        let secret = try await admin.connectTelegram(bot, number: 1)
        let poster = WebhookPoster(subject: subject, bot: bot, secret: secret)
        try await poster.post(chat: 1, id: 1, text: "token-hold")
        for chat in 2...5 { try await poster.post(chat: chat, id: 1, text: "token-warm") }
        let most = try await poster.closedLoop(total: stage.quick ? 6_000 : 30_000, workers: 64)
        report("sustained, 64 connections", String(format: "%.0f/s, ", most.rate) + most.sample.summary, budget: ">= 3,000/s", holds: most.rate >= 3000)
        let steady = try await poster.openLoop(perSecond: 500, seconds: stage.quick ? 4 : 15)
        report("at 500/s", steady.summary, budget: "p99 < 10 ms", holds: steady.percentile(0.99) < 10)
    }
    print("")
}

/// Message in to reply out through web chat, agents warm, the model without latency.
func latency(_ stage: Stage) async throws {
    print("message in to reply out (web chat, warm agents, zero-latency model)")
    try await stage.withServer { subject in
        let users = try await crowd(subject, conversations: 50)
        let alone = try await talk(Array(users.prefix(1)), conversations: 1, rounds: stage.quick ? 40 : 300)
        report("1 conversation", alone.summary, budget: "p50 < 15, p99 < 60 ms", holds: alone.median < 15 && alone.percentile(0.99) < 60)
        let together = try await talk(users, conversations: 50, rounds: stage.quick ? 4 : 20)
        report("50 conversations at once, each its next as soon as answered", together.summary)
        let paced = try await talk(users, conversations: 50, rounds: stage.quick ? 3 : 8, pause: .seconds(2))
        report("50 conversations at once, one message in 2 s each", paced.summary, budget: "p50 < 15, p99 < 60 ms", holds: paced.median < 15 && paced.percentile(0.99) < 60)
    }
    print("")
}

/// Cold start of an agent in its sandbox, and what ten of them weigh.
func agents(_ stage: Stage) async throws {
    print("agent (native engine in bubblewrap)")
    try await stage.withServer { subject in
        let users = try await crowd(subject, conversations: 20)
        _ = stage.model.takeRequests()
        var cold = Sample(), whole = Sample()
        for number in 0..<(stage.quick ? 5 : 20) {
            let clock = ContinuousClock()
            let begun = clock.now
            let answered = try await users[number % users.count].ask("cold\(number)", "token-cold\(number)")
            if let first = stage.model.takeRequests().first { cold.add(first - begun) }
            whole.add(answered - begun)
        }
        report("cold: message in to first model request", cold.summary)
        report("cold: message in to reply out", whole.summary)
        var pss: [Double] = []
        let running = subject.agents().prefix(10)
        for pid in running { if let value = Subject.memory(pid, "smaps_rollup", "Pss") { pss.append(value) } }
        let each = pss.isEmpty ? .nan : pss.reduce(0, +) / Double(pss.count)
        report("proportional memory per agent, \(pss.count) of \(subject.agents().count) at once", "\(Sample.text(each)) MiB", budget: "< 10 MiB", holds: each < 10)
    }
    print("")
}

/// The same latency with a thousand times as much behind it.
func scale(_ stage: Stage) async throws {
    print("scale (ratio to the same server when it was empty)")
    try await stage.withServer(["CLAWBOT_COMPUTE_MAX_TASKS": "24"]) { subject in
        let users = try await crowd(subject, conversations: 2)
        let rounds = stage.quick ? 30 : 150
        let empty = try await talk(Array(users.prefix(1)), conversations: 1, rounds: rounds)
        report("empty", empty.summary)
        func compare(_ what: String) async throws {
            let now = try await talk(Array(users.prefix(1)), conversations: 1, rounds: rounds)
            let ratio = now.median / empty.median
            report(what, String(format: "%.2f×  ", ratio) + now.summary, budget: "<= 1.5×", holds: ratio <= 1.5)
        }
        let admin = try await BenchUser.admin(subject)
        // History: thousands of stored context messages in a group, and as many conversations as the plan allows.
        let other = try await admin.newUser(900)
        let bot = try await other.bot("Crowd")
        let poster = WebhookPoster(subject: subject, bot: bot, secret: try await other.connectTelegram(bot, number: 900))
        _ = try await poster.closedLoop(total: stage.quick ? 5_000 : 100_000, workers: 64, group: true)
        try await compare("with \(stage.quick ? "5,000" : "100,000") stored messages in 100 conversations")
        // Backlog: queued messages of another tenant behind slots that are all taken.
        let busy = try await admin.newUser(901)
        let slow = try await busy.bot("Busy")
        let stuck = WebhookPoster(subject: subject, bot: slow, secret: try await busy.connectTelegram(slow, number: 901))
        for chat in 0..<20 { try await stuck.post(chat: 5000 + chat, id: 1, text: "token-hold") }
        _ = try await stuck.closedLoop(total: stage.quick ? 2_000 : 50_000, workers: 64, firstChat: 5000, chats: 80)
        try await compare("and \(stage.quick ? "2,000" : "50,000") queued messages of another tenant")
    }
    print("")
}

// MARK: Load

/// Posts Telegram updates to a bot's webhook.
struct WebhookPoster: Sendable {
    let subject: Subject
    let bot: String
    let secret: String

    func post(chat: Int, id: Int, text: String, group: Bool = false) async throws {
        let kind = group ? #""id":-\#(chat),"type":"supergroup","title":"G""# : #""id":\#(chat),"type":"private","first_name":"A""#
        let now = Int(Date().timeIntervalSince1970)
        let body = #"{"update_id":\#(chat * 1_000_000 + id),"message":{"message_id":\#(id),"date":\#(now),"chat":{\#(kind)},"from":{"id":\#(chat),"is_bot":false,"first_name":"A"},"text":"\#(text)"}}"#
        var request = HTTPClientRequest(url: "\(subject.base)/webhook/telegram/\(bot)")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "X-Telegram-Bot-Api-Secret-Token", value: secret)
        request.body = .bytes(ByteBuffer(string: body))
        let response = try await subject.stage.http.execute(request, timeout: .seconds(30))
        _ = try await response.body.collect(upTo: 1 << 16)
        guard response.status == .ok else { throw Failure("the webhook answered \(response.status.code)") }
    }

    /// As fast as that many connections go.
    func closedLoop(total: Int, workers: Int, firstChat: Int = 1, chats: Int = 90, group: Bool = false) async throws -> (rate: Double, sample: Sample) {
        let clock = ContinuousClock()
        let begun = clock.now
        let sample = try await withThrowingTaskGroup(of: Sample.self) { tasks in
            for worker in 0..<workers {
                tasks.addTask {
                    var own = Sample()
                    for number in 0..<(total / workers) {
                        let start = clock.now
                        try await post(chat: firstChat + (worker * 7 + number) % chats, id: 10 + worker * 100_000 + number, text: "message \(number)", group: group)
                        own.add(clock.now - start)
                    }
                    return own
                }
            }
            return try await tasks.reduce(into: Sample()) { $0.milliseconds += $1.milliseconds }
        }
        let seconds = Double((clock.now - begun).milliseconds) / 1000
        return (Double(sample.milliseconds.count) / seconds, sample)
    }

    /// At a fixed rate, each request on its own schedule: a slow answer does not slow the next one down.
    func openLoop(perSecond: Int, seconds: Int) async throws -> Sample {
        let clock = ContinuousClock()
        let begun = clock.now
        return try await withThrowingTaskGroup(of: Duration.self) { tasks in
            for number in 0..<(perSecond * seconds) {
                let due = begun + .microseconds(number * 1_000_000 / perSecond)
                tasks.addTask {
                    try await clock.sleep(until: due, tolerance: .microseconds(100))
                    let start = clock.now
                    try await post(chat: 1 + number % 90, id: 20_000_000 + number, text: "message \(number)")
                    return clock.now - start
                }
            }
            return try await tasks.reduce(into: Sample()) { $0.add($1) }
        }
    }
}

/// Somebody with a bot and an open stream.
struct Talker: Sendable {
    let user: BenchUser
    let bot: String
    let replies: Replies

    /// Sends a message and answers the time at which the reply to it arrived.
    func ask(_ conversation: String, _ token: String) async throws -> ContinuousClock.Instant {
        _ = try await user.post("/api/bots/\(bot)/chat", ["content": .string("say \(token)"), "conversationId": .string(conversation)])
        return await replies.wait(token)
    }
}

/// Users enough to have that many agents at once: the largest plan runs 20 for each.
func crowd(_ subject: Subject, conversations: Int) async throws -> [Talker] {
    let admin = try await BenchUser.admin(subject)
    var talkers: [Talker] = []
    for number in 0..<((conversations + 16) / 17) {
        let user = try await admin.newUser(number)
        let bot = try await user.bot("Bench \(number)")
        let (replies, _) = try await Replies.follow(user, bot: bot)
        talkers.append(Talker(user: user, bot: bot, replies: replies))
    }
    return talkers
}

/// Conversations that each send their next message when the last was answered; a first round, not counted, warms the agents.
func talk(_ talkers: [Talker], conversations: Int, rounds: Int, pause: Duration? = nil) async throws -> Sample {
    let run = UUID().uuidString.prefix(6)
    return try await withThrowingTaskGroup(of: Sample.self) { tasks in
        for number in 0..<conversations {
            let talker = talkers[number % talkers.count]
            tasks.addTask {
                var sample = Sample()
                _ = try await talker.ask("c\(number)", "token-\(run)-\(number)-warm")
                let clock = ContinuousClock()
                for round in 0..<rounds {
                    if let pause { try await clock.sleep(for: pause * Double.random(in: 0.5...1.5)) }
                    let begun = clock.now
                    let end = try await talker.ask("c\(number)", "token-\(run)-\(number)-\(round)")
                    sample.add(end - begun)
                }
                return sample
            }
        }
        return try await tasks.reduce(into: Sample()) { $0.milliseconds += $1.milliseconds }
    }
}
