import ControlPlane
import Foundation
import Platform
import WebAPI

extension Installation {
    /// What is read when somebody asks `/metrics` (API.md §7).
    static func operationsGauges(ports: Ports, compute: DedicatedTasks, api: API, health: ProviderHealth) -> [Metrics.Gauge] {
        let queues: [(name: String, queue: any MessageQueue)] = [("inbound", ports.inbound), ("replies", ports.replies)]
        return [
            .init("clawbot_queue_depth", "Messages in the queue, in flight included.") {
                try await samples(queues) { let depth = try await $0.depth(); return Double(depth.waiting + depth.inFlight) }
            },
            .init("clawbot_queue_oldest_seconds", "Age of the oldest message in the queue.") {
                try await samples(queues) { try await $0.depth().oldest.map { max(0, ports.time.now().timeIntervalSince($0)) } ?? 0 }
            },
            .init("clawbot_agent_active", "Agents that run or wait for their next message.") {
                let load = await compute.load
                return [.init(Double(load.running), ["mode": "running"]), .init(Double(load.units - load.running), ["mode": "idle"])]
            },
            .init("clawbot_provider_circuit_open", "Models that are left alone after failures in a row.") {
                health.open.map { .init(1, ["provider": $0.provider.rawValue, "model": $0.model]) }
            },
            .init("clawbot_channel_health", "Share of a service's channels that are not unhealthy; at most 2,000 of each are looked at.") {
                try await channelHealth(ports.records).map { .init(Double($0.working) / Double($0.all), ["channel": $0.type.rawValue]) }
            },
            .init("clawbot_sse_streams", "Open event streams.") { [.init(Double(api.openStreams))] },
        ]
    }

    /// Channels by service, those of the built-in web chat aside.
    static func channelHealth(_ records: any RecordStore) async throws -> [(type: ChannelType, working: Int, all: Int)] {
        var found: [(type: ChannelType, working: Int, all: Int)] = []
        for type in ChannelType.allCases where type != .web {
            var query = RecordQuery(Tables.channels, index: Tables.channelTypeIndex, partition: type.rawValue, limit: 500), all = 0, broken = 0
            repeat {
                let page = try await records.query(query)
                all += page.records.count
                broken += page.records.count { $0.document["healthStatus"]?.string == Channel.Health.unhealthy.rawValue }
                query.cursor = page.cursor
            } while query.cursor != nil && all < 2000
            if all > 0 { found.append((type, all - broken, all)) }
        }
        return found
    }

    private static func samples(
        _ queues: [(name: String, queue: any MessageQueue)], _ read: (any MessageQueue) async throws -> Double
    ) async throws -> [Metrics.Gauge.Sample] {
        var samples: [Metrics.Gauge.Sample] = []
        for (name, queue) in queues { samples.append(.init(try await read(queue), ["queue": name])) }
        return samples
    }
}
