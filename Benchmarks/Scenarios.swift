import Foundation

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
    print("webhook accepted (SQLite, synchronous=FULL; stored and queued before the answer; load generator on the same processors)")
    // One slow run holds the only slot, so that what is measured is acceptance and not the agents that would follow.
    try await stage.withServer(["CLAWBOT_COMPUTE_MAX_TASKS": "1", "CLAWBOT_COMPUTE_MIN_WARM_TASKS": "0"]) { subject in
        let admin = try await BenchUser.admin(subject)
        let bot = try await admin.bot("Bench")
        let secret = try await admin.connectTelegram(bot, number: 1)
        let poster = WebhookPoster(subject: subject, bot: bot, secret: secret)
        try poster.post(chat: 1, id: 1, text: "token-hold")
        try await stage.model.waitForRequest()
        _ = try await poster.closedLoop(total: 1280)
        let before = subject.processorTime()
        let most = try await poster.closedLoop(total: stage.quick ? 8_000 : 64_000)
        let cost = (subject.processorTime() - before) / Double(most.sample.milliseconds.count)
        report("sustained, 64 connections", String(format: "%.0f/s, ", most.rate) + most.sample.summary, budget: ">= 3,000/s", holds: most.rate >= 3000)
        report("processor time of the server per webhook", String(format: "%.0f µs", cost * 1000))
        let steady = try await poster.openLoop(perSecond: 500, seconds: stage.quick ? 4 : 20)
        report("at 500/s", steady.summary, budget: "p99 < 10 ms", holds: steady.percentile(0.99) < 10)
    }
    print("")
}

/// Message in to reply out through web chat, agents warm, the model without latency.
func latency(_ stage: Stage) async throws {
    print("message in to reply out (web chat, warm agents, zero-latency model)")
    try await stage.withServer { subject in
        let users = try await crowd(subject, conversations: 50)
        _ = try await talk(Array(users.prefix(1)), conversations: 1, rounds: 20)
        let server = subject.processorTime(), agent = subject.agents().reduce(0) { $0 + Subject.processorTime($1) }
        let alone = try await talk(Array(users.prefix(1)), conversations: 1, rounds: stage.quick ? 60 : 400)
        let turns = Double(alone.milliseconds.count + 1)
        report("1 conversation", alone.summary, budget: "p50 < 15, p99 < 60 ms", holds: alone.median < 15 && alone.percentile(0.99) < 60)
        report("  processor time per message", String(
            format: "server %.1f ms, agent %.1f ms", (subject.processorTime() - server) / turns,
            (subject.agents().reduce(0) { $0 + Subject.processorTime($1) } - agent) / turns))
        report("  of it until the model request", try await split(users[0], stage, rounds: stage.quick ? 20 : 100).summary)
        let clock = ContinuousClock()
        let begun = clock.now
        let together = try await talk(users, conversations: 50, rounds: stage.quick ? 10 : 40)
        let rate = Double(together.milliseconds.count) / Sample.milliseconds(clock.now - begun) * 1000
        report("50 conversations, each its next as soon as answered", String(format: "%.0f/s, ", rate) + together.summary)
        let paced = try await talk(users, conversations: 50, rounds: stage.quick ? 4 : 15, pause: .seconds(2))
        report("50 conversations at once, each a message in 2 s", paced.summary, budget: "p50 < 15, p99 < 60 ms", holds: paced.median < 15 && paced.percentile(0.99) < 60)
    }
    print("")
}

/// The part of a warm turn that lies before the model request.
private func split(_ talker: Talker, _ stage: Stage, rounds: Int) async throws -> Sample {
    var sample = Sample()
    let clock = ContinuousClock()
    for number in 0..<rounds {
        _ = stage.model.takeRequests()
        let begun = clock.now
        _ = try await talker.ask("c0", "token-split\(number)-\(UUID().uuidString.prefix(6))")
        if let request = stage.model.takeRequests().first { sample.add(request - begun) }
    }
    return sample
}

/// Cold start of an agent in its sandbox, and what ten of them weigh.
func agents(_ stage: Stage) async throws {
    print("agent (native engine in bubblewrap)")
    try await stage.withServer(["CLAWBOT_LOG_LEVEL": "info", "CLAWBOT_LOG_FORMAT": "json"]) { subject in
        let users = try await crowd(subject, conversations: 34)
        _ = stage.model.takeRequests()
        var cold = Sample(), whole = Sample(), starts = Sample(), own = Sample()
        for number in 0..<(stage.quick ? 10 : 30) {
            let clock = ContinuousClock()
            let begun = clock.now, epoch = Date()
            let answered = try await users[number % users.count].ask("cold\(number)", "token-cold\(number)")
            whole.add(answered - begun)
            guard let first = stage.model.takeRequests().first else { continue }
            cold.add(first - begun)
            if let (launched, took) = subject.lastAgentStart() {
                starts.milliseconds.append(took)
                own.milliseconds.append(epoch.timeIntervalSince1970 * 1000 + Sample.milliseconds(first - begun) - launched)
            }
            if number == 9 { weigh(subject) }
        }
        report("launch to its first model request", own.summary, budget: "< 60 ms", holds: own.median < 60)
        report("  of it until the process answers", starts.summary)
        report("cold: message in to first model request", cold.summary)
        report("cold: message in to reply out", whole.summary)
    }
    print("")
}

private func weigh(_ subject: Subject) {
    let running = subject.agents()
    let pss = running.compactMap { Subject.memory($0, "smaps_rollup", "Pss") }
    let each = pss.isEmpty ? .nan : pss.reduce(0, +) / Double(pss.count)
    let own = running.compactMap { Subject.memory($0, "smaps_rollup", "Private_Dirty") }.reduce(0, +) / Double(max(1, pss.count))
    report(
        "proportional memory per agent, \(pss.count) at once", "\(Sample.text(each)) MiB (private dirty \(Sample.text(own)) MiB)", budget: "< 10 MiB",
        holds: each < 10)
}

/// The same latency with a thousand times as much behind it.
func scale(_ stage: Stage) async throws {
    print("scale (ratio to the same server when it was empty)")
    try await stage.withServer(["CLAWBOT_COMPUTE_MAX_TASKS": "24"]) { subject in
        let users = try await crowd(subject, conversations: 1)
        let rounds = stage.quick ? 60 : 200
        _ = try await talk(users, conversations: 1, rounds: 20)
        let empty = try await talk(users, conversations: 1, rounds: rounds)
        report("empty", empty.summary)
        func compare(_ what: String) async throws {
            let now = try await talk(users, conversations: 1, rounds: rounds)
            let ratio = now.median / empty.median
            report(what, String(format: "%.2f×  ", ratio) + now.summary, budget: "<= 1.5×", holds: ratio <= 1.5)
        }
        let admin = try await BenchUser.admin(subject)
        // Sessions: conversations that were answered once and are idle since, over several bots (a bot may have a hundred).
        let bots = stage.quick ? 2 : 10, each = stage.quick ? 50 : 100
        try await idleSessions(admin, bots: bots, each: each)
        try await compare("with \(bots * each) idle sessions of \(bots) bots")
        // History: stored context messages of groups that the bot was not spoken to in.
        let other = try await admin.newUser(900)
        let bot = try await other.bot("Crowd")
        let poster = WebhookPoster(subject: subject, bot: bot, secret: try await other.connectTelegram(bot, number: 900))
        let history = stage.quick ? 10_000 : 100_000
        _ = try await poster.closedLoop(total: history, group: true)
        try await compare("and \(history) stored messages in 90 conversations")
        // Backlog: queued messages of another tenant behind slots that are all taken.
        let busy = try await admin.newUser(901)
        let slow = try await busy.bot("Busy")
        let stuck = WebhookPoster(subject: subject, bot: slow, secret: try await busy.connectTelegram(slow, number: 901))
        for chat in 0..<20 { try stuck.post(chat: 5000 + chat, id: 1, text: "token-hold") }
        for _ in 0..<20 { try await stage.model.waitForRequest() }
        let backlog = stage.quick ? 5_000 : 50_000
        _ = try await stuck.closedLoop(total: backlog, firstChat: 5000, chats: 90)
        try await compare("and \(backlog) queued messages of another tenant")
    }
    print("")
}

private func idleSessions(_ admin: BenchUser, bots: Int, each: Int) async throws {
    let user = try await admin.newUser(899)
    for number in 0..<bots {
        let bot = try await user.bot("Idle \(number)")
        let talker = Talker(user: user, bot: bot, replies: try await Replies.follow(user, bot: bot))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for worker in 0..<8 {
                tasks.addTask {
                    for conversation in stride(from: worker, to: each, by: 8) {
                        _ = try await talker.ask("idle\(conversation)", "token-idle-\(number)-\(conversation)")
                    }
                }
            }
            try await tasks.waitForAll()
        }
        await talker.replies.stop()
    }
}

// MARK: Load

/// Somebody with a bot and an open stream.
struct Talker: Sendable {
    let user: BenchUser
    let bot: String
    let replies: Replies

    /// Sends a message and answers the time at which the reply to it arrived.
    func ask(_ conversation: String, _ token: String) async throws -> ContinuousClock.Instant {
        _ = try await user.post("/api/bots/\(bot)/chat", ["content": .string("say \(token)"), "conversationId": .string(conversation)])
        return try await replies.wait(token)
    }
}

/// Users enough to have that many agents at once: the largest plan runs 20 for each.
func crowd(_ subject: Subject, conversations: Int) async throws -> [Talker] {
    let admin = try await BenchUser.admin(subject)
    var talkers: [Talker] = []
    for number in 0..<((conversations + 16) / 17) {
        let user = try await admin.newUser(number)
        let bot = try await user.bot("Bench \(number)")
        let replies = try await Replies.follow(user, bot: bot)
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
