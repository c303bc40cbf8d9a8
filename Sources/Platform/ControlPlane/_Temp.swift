import Channels
import Foundation
import Platform
enum TriggerDecision { case ignore, context, run }
func decideTrigger(_ m: InboundMessage, bot: Bot, group: Group) -> TriggerDecision { .run }
enum SlashCommand: Sendable { case clear, help, start, status, stop, context, compact, unknown(String)
 static func parse(_ t: String) -> SlashCommand? { nil }
 var actsAtOnce: Bool { false } }
struct LoopGuard: Sendable { func admits(_ s: SessionKey, at: Date) -> Bool { true }; func announces(_ s: SessionKey, at: Date) -> Bool { true } }
enum FileName { static func shown(_ s: String) -> String { s }; static func keySafe(_ s: String) -> String { s } }
enum MediaType { static func kind(_ s: String) -> Attachment.Kind { .document } }
struct LeaseKeeper { init(records: any RecordStore, owner: String, time: any TimeSource) {}; func whileHeld(_ n: String, _ b: (Int) async -> Void) async {} }
