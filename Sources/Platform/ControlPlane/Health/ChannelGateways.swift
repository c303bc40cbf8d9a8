import Channels
import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Runs the sockets and poll loops of channels: one holder per kind, under its lease, one task per channel with its own backoff,
/// so that a broken channel never delays another (CHANNELS.md §1.8).
public struct ChannelGateways: Service {
    static let reread = Duration.seconds(60)

    let records: any RecordStore
    let channels: ChannelRegistry
    let directory: Directory
    let sink: any InboundSink
    let wake: ChannelWake
    /// As the lease names this process. With an embedded store there can be only one, so it keeps its name over a crash.
    let owner: String
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for type in channels.types where type != .web {
                    group.addTask { await hold(type) }
                }
            }
        }
    }

    private func hold(_ type: ChannelType) async {
        do {
            try await LeaseStore(records: records, time: time).withLease("gateway/\(type.rawValue)", owner: owner) { _ in await connections(of: type) }
        } catch is CancellationError {
            // The process goes down; the lease was given back.
        } catch { logger.error("channel gateway ended", metadata: ["type": "\(type)", "error": "\(error)"]) }
    }

    /// Starts and stops a task per channel of the type as records come, change and go.
    private func connections(of type: ChannelType) async {
        struct Open { var revision: Int; var task: Task<Void, Never> }
        var open: [ChannelID: Open] = [:]
        defer { for connection in open.values { connection.task.cancel() } }
        while !Task.isCancelled {
            let seen = await wake.mark()
            do {
                let wanted = try await records.all(
                    Channel.self, RecordQuery(Tables.channels, index: Tables.channelTypeIndex, partition: type.rawValue, limit: 200)
                ).filter { $0.connectionMode == .polling || $0.connectionMode == .websocket }
                let ids = Set(wanted.map(\.channelId))
                for (id, connection) in open where !ids.contains(id) {
                    connection.task.cancel()
                    open[id] = nil
                }
                for channel in wanted where open[channel.channelId]?.revision != channel.revision {
                    open[channel.channelId]?.task.cancel()
                    open[channel.channelId] = Open(revision: channel.revision, task: Task { await connect(channel) })
                }
            } catch {
                logger.error("channels not readable", metadata: ["type": "\(type)", "error": "\(error)"])
            }
            await wake.wait(since: seen, atMost: Self.reread, time: time)
        }
        for connection in open.values {
            connection.task.cancel()
            await connection.task.value
        }
    }

    /// Keeps one channel connected; reconnects with full jitter up to a minute.
    private func connect(_ channel: Channel) async {
        guard let adapter = channels[channel.channelType] else { return }
        let stateKey = RecordKey(Tables.leases, "gateway/\(channel.channelType.rawValue)/\(channel.channelId.rawValue)", "state")
        var failures = 0
        while !Task.isCancelled {
            let started = time.now()
            do {
                let state = try await records.get(stateKey)?.document["state"]
                try await adapter.run(
                    directory.open(channel), state: state,
                    saveState: { value in
                        do { try await records.put(stateKey, ["state": value]) } catch {
                            logger.warning("gateway state not saved; the vendor will repeat", metadata: ["channel": "\(channel.channelId)", "error": "\(error)"])
                        }
                    }, into: sink)
                return
            } catch is CancellationError {
                return
            } catch let error as ChannelRunError {
                let reason = error.sentence
                logger.warning("channel needs its owner", metadata: ["bot": "\(channel.botId)", "type": "\(channel.channelType)", "reason": "\(reason)"])
                _ = try? await records.update(channel.key, [.set("status", "error"), .set("statusDetail", .string(reason))])
                directory.forget(channel: channel.channelType, of: channel.botId)
                // Retried after a change of credentials (another revision), or hourly.
                do { try await time.sleep(for: .seconds(3600)) } catch { return }
            } catch {
                if time.now().timeIntervalSince(started) > 60 { failures = 0 }
                failures += 1
                logger.notice("channel connection ended", metadata: ["bot": "\(channel.botId)", "type": "\(channel.channelType)", "error": "\(error)"])
                let longest = min(60, pow(2, Double(min(failures, 6)) - 1))
                do { try await time.sleep(for: Duration(seconds: Double.random(in: 0...longest))) } catch { return }
            }
        }
    }
}

/// Tells the gateways of this node that a channel was made, changed or removed.
public actor ChannelWake {
    private var count: UInt64 = 0
    private var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var next: UInt64 = 0
    public init() {}

    public func changed() {
        count += 1
        for continuation in waiting.values { continuation.resume() }
        waiting = [:]
    }
    func mark() -> UInt64 { count }

    func wait(since mark: UInt64, atMost duration: Duration, time: any TimeSource) async {
        guard count == mark, !Task.isCancelled else { return }
        next += 1
        let id = next
        let alarm = Task {
            try? await time.sleep(for: duration)
            self.release(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { waiting[id] = continuation }
            }
        } onCancel: {
            Task { await self.release(id) }
        }
        alarm.cancel()
    }
    private func release(_ id: UInt64) { waiting.removeValue(forKey: id)?.resume() }
}
