import Foundation
import Platform

/// Bounds what one turn's tools give to the model: a text that is too long loses its middle, and the whole goes into a file; images and
/// documents beyond what a request may hold are only named.
struct ResultBounds {
    let limits: ToolLimits

    func applied(to results: [ToolResultContent]) async -> [ToolResultContent] {
        let sizes = results.map(Self.textBytes)
        let total = sizes.reduce(0, +)
        // Together too much: each gets the share that its neighbours leave it.
        let share = total > limits.turnBytes ? Self.share(of: limits.turnBytes, sizes) : limits.resultBytes
        var media = 0
        var bounded: [ToolResultContent] = []
        for (result, size) in zip(results, sizes) {
            var result = result
            if size > min(share, limits.resultBytes) { result = await shortened(result, to: min(share, limits.resultBytes)) }
            result.content = result.content.map { block in
                let bytes = TokenEstimate.media([block]).bytes
                guard bytes > 0 else { return block }
                guard media + bytes <= limits.turnMediaBytes else { return .text("(More images and documents than one turn can hold: look at this one again by itself.)") }
                media += bytes
                return block
            }
            bounded.append(result)
        }
        return bounded
    }

    private static func textBytes(_ result: ToolResultContent) -> Int { result.content.reduce(0) { $0 + ($1.text?.utf8.count ?? 0) } }

    /// The largest bound under which all together fit.
    static func share(of room: Int, _ sizes: [Int]) -> Int {
        var left = room
        var rest = sizes.sorted()[...]
        while let smallest = rest.first, smallest <= left / rest.count {
            left -= smallest
            rest = rest.dropFirst()
        }
        return rest.isEmpty ? room : left / rest.count
    }

    private func shortened(_ result: ToolResultContent, to limit: Int) async -> ToolResultContent {
        let text = result.content.compactMap(\.text).joined(separator: "\n")
        let output = CapturedOutput(limit: limit, fileLimit: limits.outputFileBytes, directory: limits.outputDirectory)
        // A disk is written to: not on a thread that tasks share. When that fails the text is still cut.
        let cut = (try? await blocking { _ in
            Array(text.utf8).withUnsafeBytes { output.take($0) }
            return output.text
        }) ?? String(text.prefix(limit / 4))
        var copy = result
        copy.content = [.text(cut)] + result.content.filter { $0.text == nil }
        return copy
    }
}
