// Reads the Teams messages that are kept as snapshots with the Adaptive Cards library itself, as version 1.4, and fails
// on anything that it does not know or does not accept. Run by scripts/check-cards.
'use strict';

const fs = require('fs');
const cards = require('adaptivecards/dist/adaptivecards.js');

/** What the library has to say against a card. */
function complaints(content) {
    const card = new cards.AdaptiveCard();
    const context = new cards.SerializationContext(cards.Versions.v1_4);
    card.parse(content, context);
    const found = card.validateProperties().validationEvents.map((event) => event.message);
    for (let at = 0; at < context.eventCount; at += 1) {
        found.push(context.getEventAt(at).message);
    }
    return found;
}

const broken = { type: 'AdaptiveCard', version: '1.4', body: [{ type: 'RichTextBlok', inlines: [] }] };
if (complaints(broken).length === 0) {
    console.error('check-cards: a card with an element that does not exist is accepted, so this proves nothing');
    process.exit(1);
}

let wrong = 0;
for (const file of process.argv.slice(2)) {
    const snapshot = fs.readFileSync(file, 'utf8');
    const message = JSON.parse(snapshot.slice(snapshot.indexOf('\n{')));
    for (const attachment of message.attachments) {
        for (const complaint of complaints(attachment.content)) {
            console.error(`${file}: ${complaint}`);
            wrong += 1;
        }
    }
}
console.log(`${process.argv.length - 2} cards read, ${wrong} complaints`);
process.exit(wrong === 0 ? 0 : 1);
