import Foundation
import Platform

/// Which passwords people may choose (SEC-09), and the temporary ones that we make.
public enum PasswordPolicy {
    /// - Throws: ``IdentityError/weakPassword(_:)`` with a sentence for the person.
    public static func check(_ password: Secret, email: String) throws(IdentityError) {
        let text = password.reveal()
        guard (12...128).contains(text.count), text.utf8.count <= 512 else { throw .weakPassword("The password must have 12 to 128 characters.") }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { throw .weakPassword("The password must not hold control characters.") }
        let lower = text.lowercased(), address = email.lowercased()
        guard lower != address, lower != address.prefix(while: { $0 != "@" }) else { throw .weakPassword("The password must not be the e-mail address.") }
        guard !CommonPasswords.contains(text) else { throw .weakPassword("This password is one of the most common ones; choose another.") }
    }

    /// Four groups of five from 30 unmistakable characters: 98 bits.
    public static func temporary() -> Secret {
        let alphabet = Array("abcdefghjkmnpqrstuvwxyz2345679")
        let groups = (0..<4).map { _ in String((0..<5).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] }) }
        return Secret(groups.joined(separator: "-"))
    }
}

/// Passwords that everybody tries first. Few of the world's favourites have twelve characters as they stand, so their usual
/// lengthenings count too: digits and signs around a word, letters as digits, a word or a short pattern repeated, rows of the
/// keyboard and of the alphabet.
enum CommonPasswords {
    static func contains(_ password: String) -> Bool {
        let lower = password.lowercased()
        if Set(lower).count < 4 { return true }
        let core = lower.trimmingCharacters(in: .decimalDigits.union(.punctuationCharacters).union(.symbols).union(.whitespaces))
        for text in [lower, core] {
            for spelling in [text, String(text.map { leet[$0] ?? $0 })] {
                let letters = spelling.filter(\.isLetter)
                if words.contains(spelling) || words.contains(letters) || isChain(letters) { return true }
            }
        }
        if let unit = period(lower), unit <= 4 || words.contains(String(lower.prefix(unit))) { return true }
        return rows.contains { row in row.contains(lower) || String(row.reversed()).contains(lower) }
    }

    /// Whether the text is two or more common words in a row and nothing else.
    private static func isChain(_ text: String) -> Bool {
        guard text.count >= 8 else { return false }
        let letters = Array(text)
        var reachable = [Bool](repeating: false, count: letters.count + 1)
        reachable[0] = true
        for end in 1...letters.count {
            for start in max(0, end - 12)..<end where reachable[start] && end - start >= 4 {
                if words.contains(String(letters[start..<end])) { reachable[end] = true; break }
            }
        }
        return reachable[letters.count]
    }

    /// Length of the shortest piece whose repetition is the text.
    private static func period(_ text: String) -> Int? {
        let characters = Array(text)
        return (1...(max(1, characters.count / 2))).first { unit in characters.indices.allSatisfy { characters[$0] == characters[$0 % unit] } }
    }

    private static let leet: [Character: Character] = ["0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s", "!": "i"]

    private static let rows = [
        "01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujmikolp", "zaq12wsxcde34rfvbgt56yhn", "qwerty1234567890", "q1w2e3r4t5y6u7i8o9p0",
        "1234567890qwertyuiop", "1234567890abcdefghij", "asdfghjkl1234567890", "abc1234567890", "a1b2c3d4e5f6g7h8i9j0", "123123123123123", "112233445566778899",
    ]

    private static let words: Set<String> = Set(
        """
        password passwort passw0rd passwords motdepasse contrasena senha parola wachtwoord mima mypassword password123 password1234 password12345 passwordpassword
        letmein letmeinplease letmeinnow welcome welcometo changeme changemenow changeit secret topsecret supersecret mysecret private access default guest test tester testing
        testtest demo example sample temporary temp admin administrator adminadmin root toor rootroot superuser sysadmin system manager master masterkey operator
        support service server database oracle mysql postgres postgresql linux ubuntu debian windows microsoft apple google amazon facebook instagram twitter youtube
        internet computer laptop network cisco router login logmein signin signup hello hellothere helloworld goodbye goodmorning iloveyou ilovey iloveu loveyou loveme
        iloveyousomuch iloveyouforever lovely lover forever family friend friends bestfriend freedom trustno trustme trust nothing something anything whatever
        qwerty qwertyuiop qwertyqwerty qwertz azerty asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qazwsxedc onetwothree abcdef abcabc abcd
        monkey dragon tiger lion eagle falcon panther dolphin butterfly elephant horse bear wolf snake spider scorpion phoenix unicorn penguin turtle chicken kitten puppy
        football baseball basketball soccer hockey tennis golf rugby cricket volleyball swimming skateboard liverpool arsenal chelsea barcelona realmadrid manchester
        juventus bayern celtic rangers cowboys steelers yankees lakers patriots packers eagles redsox
        superman batman spiderman ironman captain avengers starwars startrek matrix harrypotter pokemon pikachu naruto minecraft fortnite roblox nintendo playstation xbox
        princess prince king queen angel angels heaven devil demon jesus jesuschrist christ godisgood blessed blessing faith believe church
        sunshine rainbow flower flowers sunflower summer winter spring autumn january february march april june july august september october november december
        monday tuesday wednesday thursday friday saturday sunday morning midnight moonlight starlight thunder lightning storm hurricane ocean river mountain
        michael michelle jennifer jessica ashley amanda daniel joshua andrew matthew christopher nicholas anthony joseph robert charlie thomas jordan hunter harley
        george alexander alexandra victoria elizabeth samantha stephanie christina patricia maria martin peter jonathan benjamin william david
        chocolate cookie banana orange cherry strawberry pepper cheese coffee pizza burger whiskey vodka
        mustang ferrari porsche mercedes corvette camaro toyota honda yamaha harleydavidson ducati
        america american london paris berlin madrid newyork california texas florida canada australia germany france china japan india russia brazil mexico
        business company money dollars million millionaire success winner champion victory power powerful killer hacker ninja samurai warrior soldier sniper shadow
        ghost zombie vampire wizard magic mystery diamond silver golden platinum crystal purple yellow orange black white green blue
        clawbot assistant chatbot openai claude anthropic telegram slack discord whatsapp correct horse battery staple correcthorsebatterystaple
        trustnoone opensesame abracadabra hunter starbucks metallica nirvana slipknot eminem blink
        """.split(whereSeparator: \.isWhitespace).map(String.init))
}
