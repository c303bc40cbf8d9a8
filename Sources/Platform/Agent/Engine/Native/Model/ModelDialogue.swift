import Foundation
import Logging
import Platform
import Synchronization

/// What an endpoint has taught a process about its model; kept from run to run.
final class ModelLessons: Sendable {
    struct State: Sendable {
        /// It refused to write more.
        var maxTokens: Int?
        /// It does not take the `thinking` field at all.
        var refusesThinking = false
    }
    private let state = Mutex<[String: State]>([:])
    func about(_ model: String) -> State { state.withLock { $0[model] ?? State() } }
    func learn(_ model: String, _ change: (inout State) -> Void) { state.withLock { change(&$0[model, default: State()]) } }
}

/// One party's calls to the model, with their tries: what another try may cure is tried again within the deadline, and what the endpoint
/// would not take is left out from then on.
struct ModelDialogue: Sendable {
    let run: EngineRun
    let options: NativeEngine.Options
    let lessons: ModelLessons
    let logger: Logger
    private var maxTokens: Int
    private(set) var withoutThinking: Bool

    init(run: EngineRun, options: NativeEngine.Options, lessons: ModelLessons, logger: Logger) {
        self.run = run; self.options = options; self.lessons = lessons; self.logger = logger
        let known = lessons.about(run.payload.model)
        maxTokens = min(options.maxTokens, known.maxTokens ?? .max)
        withoutThinking = known.refusesThinking
    }

    /// How a conversation is to be encoded, and what to do with its words.
    struct Listener {
        var onText: (String) -> Void = { _ in }
        /// The try broke after it had shown something.
        var onBroken: () -> Void = {}
    }

    /// One assistant turn. `conversation` is asked again for each try, because a try may have to leave thinking out.
    mutating func turn(
        _ request: MessagesRequest, mostTokens: Int = .max, listener: Listener = Listener(), conversation: (_ withoutThinking: Bool) throws -> EncodedConversation
    ) async throws -> TurnAssembler.Turn {
        let time = run.gateway.time
        var attempt = 0
        while true {
            var shown = false
            let encoded = try conversation(withoutThinking)
            let (body, thinks) = request.body(encoded, maxTokens: min(maxTokens, mostTokens), thinking: !withoutThinking)
            do {
                return try await ModelCall(client: run.gateway, deadline: run.payload.deadline).turn(body) { text in
                    shown = true
                    listener.onText(text)
                }
            } catch let failure as ModelFailure {
                if shown { listener.onBroken() }
                switch failure {
                case .again(let after, let reason):
                    attempt += 1
                    let delay = max(after ?? .zero, options.backoff.delay(attempt - 1))
                    guard attempt < options.modelTries, time.now() + delay.seconds < run.payload.deadline else { throw failure }
                    logger.notice("model call is tried again", metadata: ["attempt": "\(attempt)", "reason": "\(reason)", "ms": "\(delay.milliseconds)"])
                    try await time.sleep(for: delay)
                case .outputLimit(let most) where most < min(maxTokens, mostTokens):
                    maxTokens = most
                    lessons.learn(run.payload.model) { $0.maxTokens = most }
                case .thinkingRejected where !withoutThinking && (thinks || encoded.hasThinking):
                    // Old blocks of another model, or the field itself: where there were none, it was the field.
                    withoutThinking = true
                    if !encoded.hasThinking { lessons.learn(run.payload.model) { $0.refusesThinking = true } }
                    logger.notice("the endpoint does not take thinking: it is left out")
                default: throw failure
                }
            }
        }
    }
}
