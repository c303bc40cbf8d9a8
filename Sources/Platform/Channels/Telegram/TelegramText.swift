import Foundation

/// What a message's text says about whom it is for. Entity offsets are UTF-16 units.
struct TelegramText {
    /// Without the bot's own mention, ends trimmed.
    private(set) var text: String
    private(set) var mentionsBot = false
    private(set) var isForAnotherBot = false

    init(_ original: String, entities: [TelegramEntity], botId: String, username: String) {
        let units = Array(original.utf16)
        let own = "@" + username.lowercased()
        var cuts = [Range<Int>]()
        var commandsOthers = false
        for entity in entities {
            guard entity.offset >= 0, entity.length > 0, entity.offset <= units.count, entity.length <= units.count - entity.offset else { continue }
            let range = entity.offset..<entity.offset + entity.length
            switch entity.type {
            case "mention" where !username.isEmpty && String(decoding: units[range], as: UTF16.self).lowercased() == own:
                mentionsBot = true
                cuts.append(range)
            case "text_mention" where entity.user.map { String($0.id) } == botId:
                mentionsBot = true
                cuts.append(range)
            case "bot_command":
                let command = String(decoding: units[range], as: UTF16.self).lowercased()
                guard let at = command.firstIndex(of: "@") else { continue }
                if !username.isEmpty, command[at...] == own {
                    mentionsBot = true
                    cuts.append(range.upperBound - own.utf16.count..<range.upperBound)
                } else {
                    commandsOthers = true
                }
            default: break
            }
        }
        isForAnotherBot = commandsOthers && !mentionsBot
        text = Self.removing(cuts, from: units)
    }

    /// A cut between two spaces takes one of them along.
    private static func removing(_ cuts: [Range<Int>], from units: [UInt16]) -> String {
        var kept = [UInt16]()
        kept.reserveCapacity(units.count)
        var index = 0
        for cut in cuts.sorted(by: { $0.lowerBound < $1.lowerBound }) where cut.lowerBound >= index {
            kept += units[index..<cut.lowerBound]
            index = cut.upperBound
            let space = UInt16(0x20)
            if kept.last ?? space == space, index < units.count, units[index] == space { index += 1 }
        }
        kept += units[index...]
        return String(decoding: kept, as: UTF16.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
