import Foundation
import Platform
import Synchronization

/// A conversation at the terminal: what the bot writes appears as it is produced, what is typed is sent.
final class ChatSession: Sendable {
    private let client: APIClient
    private let bot: String
    private let conversation: String
    private let state = Mutex(State())
    private struct State {
        var lastEventID: String?
        /// Messages whose text is on the screen already, as deltas.
        var streamed: [String: Int] = [:]
        var lineOpen = false
        var waiting: [String: CheckedContinuation<Bool, Never>] = [:]
        var ownMessages: Set<String> = []
        var finished = false
        var failed = false
    }

    init(client: APIClient, bot: String, conversation: String) {
        self.client = client; self.bot = bot; self.conversation = conversation
    }

    private var group: String { "web%3A\(conversation)" }

    func showHistory(_ count: Int) async throws {
        let answer: Value
        do { answer = try await client.get("/api/bots/\(bot)/groups/\(group)/messages?limit=\(count)") } catch let problem as APIClient.Problem where problem.status == 404 {
            return
        }
        for message in (answer["items"]?.array ?? []).reversed() { show(message) }
    }

    func send(_ text: String) async throws {
        let answer = try await client.post(
            "/api/bots/\(bot)/chat", ["content": .string(text), "conversationId": .string(conversation)], idempotencyKey: ULID.make())
        if let id = answer["messageId"]?.string { state.withLock { _ = $0.ownMessages.insert(id) } }
    }

    /// Follows the stream, reconnecting where it left off, until cancelled or `until` says so.
    func follow(opened: @escaping @Sendable () -> Void = {}, until: @escaping @Sendable (String, Value) -> Bool = { _, _ in false }) async throws {
        var pause = 1.0
        while !Task.isCancelled && !state.withLock({ $0.finished }) {
            do {
                try await client.events("/api/bots/\(bot)/chat/events?conversationId=\(conversation)", lastEventID: state.withLock { $0.lastEventID }, opened: opened) { event in
                    if let id = event.id { self.state.withLock { $0.lastEventID = id } }
                    guard let data = try? JSON.value(Data(event.data.utf8)) else { return }
                    self.handle(event.name, data)
                    if until(event.name, data) {
                        self.state.withLock { $0.finished = true }
                        throw CancellationError()
                    }
                }
                pause = 1
            } catch is CancellationError { return } catch let problem as APIClient.Problem where problem.status == 404 || problem.status == 403 {
                throw problem
            } catch {
                try await Task.sleep(for: .seconds(pause))
                pause = min(30, pause * 2)
            }
        }
    }

    private func handle(_ name: String, _ data: Value) {
        switch name {
        case "delta":
            guard let id = data["messageId"]?.string, let text = data["text"]?.string else { return }
            let first = state.withLock { state -> Bool in
                defer { state.streamed[id, default: 0] += text.utf8.count; state.lineOpen = true }
                return state.streamed[id] == nil
            }
            Terminal.write(first ? "\u{1B}[36mbot>\u{1B}[0m \(text)" : text)
        case "message":
            let id = data["messageId"]?.string ?? ""
            let (streamed, own) = state.withLock { (($0.streamed.removeValue(forKey: id) ?? 0) > 0, $0.ownMessages.contains(id)) }
            if data["isBotMessage"]?.bool != true {
                // Typed here a moment ago.
                if !own && !streamed { closeLine(); show(data) }
                return
            }
            if streamed {
                closeLine()
                showFiles(data)
            } else {
                closeLine()
                show(data)
            }
        case "tool":
            guard data["phase"]?.string == "start", let tool = data["name"]?.string else { return }
            closeLine()
            Terminal.say("\u{1B}[2m  · \(tool)\(data["summary"]?.string.map { ": \($0)" } ?? "")\u{1B}[0m")
        case "error":
            closeLine()
            Terminal.say("\u{1B}[31m\(data["detail"]?.string ?? "Something went wrong.")\u{1B}[0m")
        default: break
        }
    }

    private func closeLine() {
        if state.withLock({ state in defer { state.lineOpen = false }; return state.lineOpen }) { Terminal.say("") }
    }

    private func show(_ message: Value) {
        let who = message["isBotMessage"]?.bool == true ? "\u{1B}[36mbot>\u{1B}[0m" : "\u{1B}[32myou>\u{1B}[0m"
        if let text = message["content"]?.string, !text.isEmpty { Terminal.say("\(who) \(text)") }
        showFiles(message)
        if message["state"]?.string == "failed", message["isBotMessage"]?.bool != true { Terminal.say("\u{1B}[31m  (failed: \(message["failure"]?.string ?? "unknown"))\u{1B}[0m") }
    }

    private func showFiles(_ message: Value) {
        for file in message["attachments"]?.array ?? [] {
            Terminal.say("\u{1B}[2m  [file \(file["fileName"]?.string ?? "?"), \(file["size"]?.int ?? 0) bytes: \(file["key"]?.string ?? "")]\u{1B}[0m")
        }
    }
}
