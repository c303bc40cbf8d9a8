import Channels
import Foundation
import Platform

/// Builds what an agent is handed: everything for one run except secrets, and the grant it acts with.
struct InvocationBuilder: Sendable {
    struct Build: Sendable {
        var run: Run
        var epoch: Int
        var payload: InvocationPayload
    }

    let signer: GrantSigner
    let prompts: PromptBuilder
    /// nil = without MCP servers.
    var mcp: MCPSelection?
    /// Prefixes of a user's proxy rules; nil = without a credential proxy.
    var proxyPrefixes: (@Sendable (UserID) async throws -> [String])?
    let skills: SkillSelection
    let time: any TimeSource
    /// The gateway has a web search of the platform's.
    var searchesWeb = false

    func build(
        _ work: RunDriver.Work, session: Session, model: (provider: Provider, model: String), slot: String, attempt: Int, node: String
    ) async throws -> Build {
        let now = time.now()
        let bot = work.bot
        let invocation = InvocationID(ULID.make(at: now))
        let deadline = now + Double(bot.containerConfig.timeoutSeconds)
        let group = try await prompts.group(work.session)
        let channel: ChannelType, isGroup: Bool
        switch work.subject {
        case .message(let parts): channel = parts[0].channelType; isGroup = parts[0].isGroup
        case .task: channel = group?.channelType ?? .web; isGroup = group?.isGroup ?? false
        }
        var run = Run(
            invocationId: invocation, attempt: attempt, startedAt: now, deadline: deadline, node: node, channelType: channel, isGroup: isGroup,
            slot: slot, model: model.model, providerId: model.provider.providerId, toolWhitelist: bot.toolWhitelist)
        run.maxRunTokens = bot.containerConfig.maxRunTokens
        // What an earlier try used is booked with this one.
        if let previous = session.run {
            run.usage = previous.usage
            run.trace = previous.trace
        }
        let memoryWritable = !isGroup || bot.memoryOpenToGroups
        let epoch = session.epoch + 1
        let grant = Grant(
            userId: bot.userId, botId: bot.botId, groupJid: work.session.groupJid, channelType: channel, invocationId: invocation, sessionEpoch: epoch,
            issuedAt: now, expiresAt: deadline + 60, memoryWritable: memoryWritable)
        let layout = ObjectLayout(userId: bot.userId, botId: bot.botId)
        let prompt: String
        var files: [Attachment] = []
        switch work.subject {
        case .message(let parts):
            let first = parts[0]
            run.messageId = first.messageId
            run.messageTimestamp = first.timestamp
            run.alsoAnswers = parts.dropFirst().map { MessageRef(messageId: $0.messageId, timestamp: $0.timestamp) }
            run.replyContext = first.replyContext
            files = parts.flatMap(\.attachments)
            prompt = try await prompts.prompt(for: parts, bot: bot, at: now)
        case .task(let task, let payload):
            run.taskId = task.taskId
            run.scheduledFor = payload.scheduledFor
            run.missed = payload.missed
            run.isolated = task.contextMode == .isolated ? true : nil
            run.replyContext = group?.replyContext
            prompt = prompts.prompt(for: task, payload, bot: bot, at: now)
        }
        var payload = InvocationPayload(
            invocationId: invocation, botId: bot.botId, userId: bot.userId, groupJid: work.session.groupJid, botName: bot.name, channelType: channel,
            prompt: prompt, engine: bot.engine, providerType: model.provider.providerType, model: model.model, gatewayUrl: "", grant: try signer.sign(grant),
            deadline: deadline, sessionPath: layout.sessions(work.session.groupJid),
            memoryPaths: .init(
                sharedClaude: layout.sharedMemory, botClaude: layout.botMemory, groupPrefix: layout.workspace(work.session.groupJid),
                learnings: layout.learnings),
            toolWhitelist: bot.toolWhitelist, maxTurns: bot.containerConfig.maxTurns, timezone: bot.timezone)
        payload.systemPrompt = bot.systemPrompt
        payload.webSearch = model.provider.searchesWeb ? .provider : searchesWeb ? .platform : nil
        payload.isGroupChat = isGroup
        payload.memoryWritable = memoryWritable
        payload.attachments = files.compactMap { file in
            guard let key = file.objectKey, let size = file.size else { return nil }
            return InvocationPayload.File(type: file.type, fileName: file.fileName, mimeType: file.mimeType, size: size, objectKey: key)
        }
        let servers = try await mcp?.configs(for: bot) ?? []
        if !servers.isEmpty { payload.mcpConfigs = servers }
        let prefixes = try await proxyPrefixes?(bot.userId) ?? []
        if !prefixes.isEmpty { payload.proxyPrefixes = prefixes }
        let skills = try await skills.uses(for: bot)
        if !skills.isEmpty { payload.skills = skills }
        payload.objectsRevision = String(session.objectsRevision)
        if case .message(let parts) = work.subject, parts[0].isCommand == true {
            switch SlashCommand.parse(parts[0].content)?.kind {
            case .context: payload.sdkCommand = .context
            case .compact: payload.sdkCommand = .compact
            default: break
            }
        }
        if case .task = work.subject { payload.isScheduledTask = true }
        if run.isolated == true || session.resetPending || session.agentSessionId == nil {
            payload.forceNewSession = true
        } else {
            payload.resumeSessionId = session.agentSessionId
        }
        return Build(run: run, epoch: epoch, payload: payload)
    }
}
