import AsyncHTTPClient
import Platform

/// How requests reach a model's endpoint: to an address that was vetted for this very request (SEC-41, SEC-45), or by a client as it is.
enum ModelConnection: Sendable {
    case guarded(EgressGuard, EgressClient)
    case direct(HTTPClient)

    /// Sends the request. The whole answer may take long; silence is bounded by the client's read time-out.
    func execute(_ request: HTTPClientRequest) async throws(ModelFailure) -> HTTPClientResponse {
        switch self {
        case .direct(let client):
            do { return try await client.execute(request, timeout: .hours(8)) } catch { throw ModelHTTP.failure(error) }
        case .guarded(let egress, let client):
            guard let url = WebAddress(request.url) else { throw .misconfigured("The provider has no usable base URL.") }
            let target: EgressGuard.Target
            do throws(EgressGuard.Refusal) { target = try await egress.vet(url, for: .provider) } catch {
                // Refused and unreachable look alike (SEC-45).
                throw error == .unresolved ? .nameNotFound : .unreachable
            }
            var request = request
            request.url = url.description
            do { return try await client.execute(request, to: target, timeout: .seconds(8 * 3600)) } catch { throw ModelHTTP.failure(error) }
        }
    }
}
