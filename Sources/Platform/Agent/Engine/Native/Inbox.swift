import Foundation
import Platform

/// Messages that wait behind the run (bots with `duringRun: steer`): offered to the model at tool boundaries, settled by the final reply.
struct Inbox {
    let gateway: GatewayClient
    private(set) var taken: [MessageID] = []
    private var absent = false
    init(gateway: GatewayClient) { self.gateway = gateway }

    /// New messages as text for the model, or nil. A gateway that has no inbox for this run is not asked again.
    mutating func news() async -> String? {
        guard !absent else { return nil }
        let messages: [Value]
        do {
            // One short look: the run does not wait for its inbox.
            messages = try await gateway.until(gateway.time.now()).inbox()
        } catch {
            absent = true
            return nil
        }
        // A message with files is left to a run of its own, which is handed them; so is what came after it.
        let texts = messages.prefix { $0["attachments"]?.array?.isEmpty ?? true && $0["text"]?.string?.contains { !$0.isWhitespace } == true }
        let new = texts.filter { message in !taken.contains { $0.rawValue == message["messageId"]?.string } && message["messageId"]?.string != nil }
        guard !new.isEmpty else { return nil }
        taken += new.compactMap { $0["messageId"]?.string.map { MessageID($0) } }
        let lines = new.map { message in
            let sender = XMLText.escape(message["senderName"]?.string ?? message["sender"]?.string ?? "")
            return "<message sender=\"\(sender)\" time=\"\(XMLText.escape(message["timestamp"]?.string ?? ""))\">\(XMLText.escape(message["text"]?.string ?? ""))</message>"
        }
        return "<messages note=\"arrived while you were working\">\n" + lines.joined(separator: "\n") + "\n</messages>"
    }
}
