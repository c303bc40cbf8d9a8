import ArgumentParser
import AsyncHTTPClient
import Foundation
import Platform
import Synchronization

/// Terminal chat with a bot of a running server.
struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talk with a bot at the terminal.",
        discussion: "Needs a running `clawbot serve`. The password is asked for, or taken from CLAWBOT_PASSWORD. An empty line or Ctrl-D ends the chat.")

    @Option(help: "Address of the server.") var server = "http://127.0.0.1:8787"
    @Option(help: "Who signs in.") var email = "admin@localhost"
    @Option(help: "Name or id of the bot; without it the first one, or a new demo bot.") var bot: String?
    @Option(help: "Conversation, letters, digits, - and _.") var conversation = "main"
    @Option(help: "How many past messages to show.") var history = 20
    @Option(name: .shortAndLong, help: "Send this one message, print the answer and exit (1 if it failed).") var message: String?

    func run() async throws {
        let http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
        do {
            try await chat(APIClient(http: http, base: server.hasSuffix("/") ? String(server.dropLast()) : server))
            try await http.shutdown()
        } catch {
            try? await http.shutdown()
            if let problem = error as? APIClient.Problem {
                Terminal.complain(problem.detail)
                throw ExitStatus.failure
            }
            throw error
        }
    }

    private func chat(_ client: APIClient) async throws {
        try await signIn(client)
        let (id, name) = try await chooseBot(client)
        let session = ChatSession(client: client, bot: id, conversation: conversation)
        if let message {
            try await once(message, session)
            return
        }
        Terminal.say("Talking with \(name). /help lists commands; an empty line ends the chat.")
        try await session.showHistory(history)
        let following = Task { try await session.follow() }
        defer { following.cancel() }
        while let line = await readInput() {
            if line.trimmingCharacters(in: .whitespaces).isEmpty { break }
            do { try await session.send(line) } catch let problem as APIClient.Problem { Terminal.complain(problem.detail) }
        }
    }

    /// Sends one message and waits for the end of its run.
    private func once(_ text: String, _ session: ChatSession) async throws {
        let ended = Ended()
        let (open, opening) = AsyncStream<Void>.makeStream()
        let following = Task {
            defer { opening.finish() }
            try await session.follow(opened: { opening.finish() }) { name, data in
                guard name == "status", let state = data["state"]?.string, ["done", "failed", "stopped"].contains(state) else { return false }
                ended.set(state)
                return true
            }
        }
        // The stream first: an answer may be faster than its opening.
        for await _ in open {}
        try await session.send(text)
        try await following.value
        if ended.state != "done" { throw ExitStatus.failure }
    }

    private func signIn(_ client: APIClient) async throws {
        let password = ProcessInfo.processInfo.environment["CLAWBOT_PASSWORD"] ?? readSecret("Password for \(email): ")
        switch try await client.signIn(email: email, password: Secret(password)) {
        case .signedIn: return
        case .mustChange(let challenge):
            Terminal.say("This password was made for you; please choose your own (at least 12 characters).")
            let chosen = readSecret("New password: ")
            guard readSecret("Again: ") == chosen else { throw APIClient.Problem(status: 0, detail: "The two passwords differ.") }
            try await client.change(challenge: challenge, to: Secret(chosen))
        }
    }

    private func chooseBot(_ client: APIClient) async throws -> (id: String, name: String) {
        let bots = try await client.get("/api/bots?limit=200")["items"]?.array ?? []
        let pairs = bots.compactMap { bot -> (id: String, name: String)? in
            guard let id = bot["botId"]?.string, let name = bot["name"]?.string else { return nil }
            return (id, name)
        }
        if let bot {
            guard let found = pairs.first(where: { $0.id == bot || $0.name.lowercased() == bot.lowercased() }) else {
                throw APIClient.Problem(status: 0, detail: "There is no bot called \(bot). You have: \(pairs.map(\.name).joined(separator: ", "))")
            }
            return found
        }
        if let first = pairs.first { return first }
        let made = try await client.post("/api/bots", ["name": "Claw"])
        return (made["botId"]?.string ?? "", "Claw")
    }

    private func readSecret(_ prompt: String) -> String {
        guard isatty(STDIN_FILENO) == 1 else { return readLine() ?? "" }
        return String(cString: getpass(prompt))
    }

    /// A line of standard input, read on a thread of its own; nil at its end.
    private func readInput() async -> String? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: readLine(strippingNewline: true)) }
        }
    }
}

private final class Ended: Sendable {
    private let text = Mutex("")
    func set(_ state: String) { text.withLock { $0 = state } }
    var state: String { text.withLock { $0 } }
}
