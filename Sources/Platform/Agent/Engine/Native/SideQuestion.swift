import Platform

extension SideModel {
    /// Asks the run's model, with a system prompt of its own and no conversation.
    static func asking(_ dialogue: ModelDialogue, model: String) -> SideModel {
        SideModel { question, serverTools in
            var dialogue = dialogue
            let request = try MessagesRequest(
                model: model, system: "You do one small piece of work for another assistant. Answer with the result alone.", tools: [], serverTools: serverTools)
            var messages: [ChatMessage] = [.user(question)]
            var content: [ContentBlock] = []
            // A search that takes long is handed over in pieces (`pause_turn`); the pieces go back as they came.
            for _ in 0..<5 {
                let asked = messages
                let turn = try await dialogue.turn(request, mostTokens: 4000) { _ in
                    var conversation = EncodedConversation()
                    try conversation.update(to: asked)
                    return conversation
                }
                content += turn.message.content
                guard turn.stopReason == .pauseTurn, !turn.message.content.isEmpty else { break }
                messages = [.user(question), ChatMessage(role: .assistant, content: content)]
            }
            return ChatMessage(role: .assistant, content: content)
        }
    }
}
