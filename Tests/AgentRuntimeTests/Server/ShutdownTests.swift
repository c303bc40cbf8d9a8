import Foundation
import Pace
import Platform
import ServiceLifecycle
import Testing

@testable import AgentRuntime

@Suite("SIGTERM: the process ends in order", .paced)
struct ShutdownTests {
    /// Admits a run whose work is `perform`, begins the shutdown, and returns once the process has ended.
    private func shutDown(grace: Duration, perform: @escaping @Sendable (RunHost.Job) async -> Void) async throws -> RunHost {
        let world = AgentWorld(directory: URL(fileURLWithPath: "/tmp"), gateway: FakeGateway(in: URL(fileURLWithPath: "/tmp")), socket: "/tmp/x", key: nil)
        let host = RunHost(session: nil)
        let begun = Latch(1)
        let worker = RunWorker(host: host, idleTimeout: nil, grace: grace, logger: quietLogger) { job in
            begun.arrive()
            await perform(job)
        }
        let services = ServiceGroup(configuration: .init(services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)], logger: quietLogger))
        let (payload, grant) = try InvocationCheck.read(JSON.encode(world.payload()))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            #expect(host.admit(payload, grant: grant) == .accepted)
            await begun.wait()
            await services.triggerGracefulShutdown()
            try await group.next()
        }
        // Nothing is taken up any more.
        var other = payload
        other.invocationId = InvocationID(ULID.make())
        var otherGrant = grant
        otherGrant.invocationId = other.invocationId
        #expect(host.admit(other, grant: otherGrant) == .busy)
        return host
    }

    @Test("a run that ends in time is let finish")
    func finishes() async throws {
        let reason = Box<RunControl.Reason?>(nil)
        _ = try await shutDown(grace: .seconds(30)) { job in
            try? await Task.sleep(for: .milliseconds(50))
            reason.value = job.control.reason
        }
        #expect(reason.value == nil)
    }

    @Test("a run that goes on is cancelled for shutdown, so that the control plane tries it again")
    func cancelled() async throws {
        let reason = Box<RunControl.Reason?>(nil)
        let host = try await shutDown(grace: .milliseconds(50)) { job in
            await job.control.wait()
            reason.value = job.control.reason
        }
        #expect(reason.value == .shutdown)
        #expect(host.health().busy == false)
    }
}
