import Platform

/// What a message is to the bot.
public enum TriggerDecision: Sendable, Equatable {
    public enum Reason: String, Sendable { case privateChat = "private-chat", mention, reply, pattern, everyMessage = "every-message" }
    /// The bot's own: stored by Delivery already.
    case ignore
    /// Stored for the agent to read later, not answered.
    case context
    case run(Reason)
}

/// Whether a message starts a run (CHANNELS.md §1.4). Pure; the first rule that matches wins.
public func decideTrigger(_ message: InboundMessage, pattern: TriggerPattern?, requiresTrigger: Bool) -> TriggerDecision {
    if message.isFromSelf { return .ignore }
    if message.isFromBot || message.isForAnotherBot { return .context }
    if !message.isGroup { return .run(.privateChat) }
    if message.mentionsBot { return .run(.mention) }
    if message.repliesToBot { return .run(.reply) }
    if pattern?.matches(message.text) == true { return .run(.pattern) }
    return requiresTrigger ? .context : .run(.everyMessage)
}

/// The same from the records; a conversation seen for the first time has no group yet. Folds the bot's pattern anew.
public func decideTrigger(_ message: InboundMessage, bot: Bot, group: Group?) -> TriggerDecision {
    decideTrigger(message, pattern: TriggerPattern(bot.triggerPattern), requiresTrigger: group?.requiresTrigger ?? message.isGroup)
}
