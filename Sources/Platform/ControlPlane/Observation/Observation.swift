import Foundation
import Platform

/// Something that operators count. No case carries a tenant, bot or message id (API.md §7).
public enum Observation: Sendable, Equatable {
    public enum Drop: String, Sendable { case ignored, loop, groupQuota = "group-quota", ownEcho = "own-echo" }
    public enum Quota: String, Sendable { case tokens, slots, groups }
    public enum Mode: String, Sendable { case message, task }

    /// An inbound message that nobody will answer.
    case dropped(ChannelType, Drop)
    /// A delivery that was given up and kept for an operator.
    case dead(DeadLetter.Queue)
    /// A run that was settled, from its first try's start.
    case run(result: Message.State, mode: Mode, seconds: Double, usage: TokenUsage)
    case quotaRejected(Quota)
}

/// Told of every observation, at once and on the way: it must be quick and may not fail.
public typealias Observer = @Sendable (Observation) -> Void
