import Channels
import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Checks every channel hourly, and at once when a vendor refuses its credentials while sending (CHANNELS.md §1.8).
/// Three refusals in a row make a channel unhealthy, and its owner is told once on another of their channels.
public struct ChannelHealth: Service, ChannelAlarm {
    static let firstCheck = Duration.seconds(300)
    static let interval = Duration.seconds(3600)
    static let threshold = 3

    let records: any RecordStore
    let channels: ChannelRegistry
    let directory: Directory
    let answers: PlatformAnswers
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            try? await time.sleep(for: Self.firstCheck)
            while !Task.isCancelled {
                do { try await checkDue() } catch is CancellationError { return } catch {
                    logger.error("channel checks failed", metadata: ["error": "\(error)"])
                }
                do { try await time.sleep(for: .seconds(60 + Int.random(in: 0..<30))) } catch { return }
            }
        }
    }

    func checkDue() async throws {
        let cut = Timestamp.text(time.now() - Self.interval.seconds)
        for state in [Channel.Health.unknown, .healthy, .unhealthy] {
            let due = try await records.query(
                Channel.self, RecordQuery(Tables.channels, index: Tables.healthIndex, partition: state.rawValue, sort: .lessThan(cut), limit: 100)).items
            await withTaskGroup(of: Void.self) { group in
                for (index, channel) in due.enumerated() {
                    if index >= 5 { await group.next() }
                    group.addTask { _ = await check(channel) }
                }
            }
        }
    }

    /// Checks one channel now and writes what came of it.
    @discardableResult
    public func check(_ channel: Channel) async -> ChannelCheck {
        guard let adapter = channels[channel.channelType] else { return ChannelCheck(.unknown, detail: "This channel is not offered here.") }
        do {
            let result = await adapter.check(try await directory.open(channel))
            try await note(result, channel)
            return result
        } catch {
            logger.error("channel check not recorded", metadata: ["bot": "\(channel.botId)", "error": "\(error)"])
            return ChannelCheck(.unknown, detail: "The check could not be recorded.")
        }
    }

    public func broken(_ channel: Channel, reason: String) async {
        if let current = try? await records.get(Channel.self, channel.key) { await check(current) }
    }

    private func note(_ result: ChannelCheck, _ channel: Channel) async throws {
        var changes: [Change] = [.set("lastHealthCheck", .string(Timestamp.text(time.now())))]
        changes.append(result.detail.map { .set("statusDetail", .string($0)) } ?? .remove("statusDetail"))
        switch result.result {
        case .healthy:
            changes += [.set("healthStatus", "healthy"), .set("consecutiveFailures", 0), .remove("userNotifiedAt")]
            if channel.status == .error || channel.status == .disconnected { changes.append(.set("status", "connected")) }
        case .refused:
            let failures = channel.consecutiveFailures + 1
            changes.append(.set("consecutiveFailures", .int(failures)))
            if failures >= Self.threshold {
                changes += [.set("healthStatus", "unhealthy"), .set("status", "error")]
                if channel.userNotifiedAt == nil { changes.append(.set("userNotifiedAt", .string(Timestamp.text(time.now())))) }
            }
        case .unknown: break
        }
        do { try await records.update(channel.key, changes) } catch RecordStoreError.conditionFailed { return }
        directory.forget(channel: channel.channelType, of: channel.botId)
        if result.result == .refused, channel.consecutiveFailures + 1 == Self.threshold, channel.userNotifiedAt == nil { try await tellOwner(channel) }
    }

    /// Says it in the owner's latest conversation on another healthy channel of the same bot; web chat always is one.
    private func tellOwner(_ channel: Channel) async throws {
        let groups = try await records.query(
            Group.self, RecordQuery(Tables.groups, index: Tables.recentIndex, partition: channel.botId.rawValue, descending: true, limit: 50)).items
        guard let group = groups.first(where: { $0.channelType == .web }) else { return }
        try await answers.send(
            "The \(channel.channelType.rawValue) channel of this bot does not work any more: its credentials were refused three times. Please enter them again.",
            key: "\(channel.channelId)#unhealthy#\(Timestamp.day(time.now()))", to: group.session, userId: channel.userId, channel: .web, replyContext: nil,
            at: time.now())
    }
}
