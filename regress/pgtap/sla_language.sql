-- Angry language: precision and recall over messages in seven languages, what adds to a score and what takes back, the
-- dictionaries as they are changed.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(59);

CREATE TEMPORARY TABLE message (language text, angry bool, message text);
INSERT INTO message VALUES
	('en', true, 'This is the third time I write to you and still no answer. Unacceptable.'),
	('en', true, 'If I do not have my money back by Friday my lawyer will contact you.'),
	('en', true, 'WHERE IS MY PACKAGE?!!! I have been waiting for weeks and nobody replies!!!'),
	('en', true, 'Worst customer service I have ever had. I will never order from you again.'),
	('en', true, 'You people are scammers, I am going to dispute the charge with my bank and file a chargeback.'),
	('en', true, 'I''m absolutely furious. The jacket arrived torn for the second time.'),
	('en', true, 'How dare you charge me twice and then ignore me?'),
	('en', true, 'fed up with your excuses, cancel everything right now'),
	('en', true, 'Honestly pathetic. A week for a one-line reply?'),
	('en', true, 'wtf is wrong with your delivery guys, they threw my parcel over the fence'),
	('en', true, 'I am sick and tired of chasing you. This is my final warning.'),
	('en', true, 'The rudest,most useless support team ever.Refund me immediately!!'),
	('en', true, 'Your website stole my money. I will report you to trading standards.'),
	('en', true, 'What a joke of a company'),
	('en', true, 'I demand a full refund, this is ridiculous'),
	('en', true, 'Thanks for nothing. The birthday is over and the present is still not here.'),
	('en', true, 'I have emailed you four times now. Four. Nobody cares, do they? Give me my money back.'),
	('en', true, 'Absolutely appalled at the way your driver spoke to my wife.'),
	('en', true, 'This company is a disgrace'),
	('en', true, 'You have until Monday or I go to the press.'),
	('en', true, 'Are you kidding me? Another delay??!!'),
	('en', true, 'I want to speak to a manager, this has gone on long enough.'),
	('en', true, 'what kind of clowns run this shop'),
	('en', true, 'I regret ever ordering here. Garbage quality, garbage service.'),
	('en', true, 'I''ve had it with your company. Refund me today or I will post this all over social media.'),
	('en', true, 'Your courier is a liar, he never rang the bell. I am extremely upset!!'),
	('en', true, 'Three weeks, three promises, no parcel. This is outrageous.'),
	('en', true, 'Why is nobody answering my emails?! I want my money back NOW'),
	('en', true, 'It is disgusting how you treat your customers.'),
	('en', true, 'I have never been treated so badly. Terrible service, rude staff.'),
	('en', true, 'Do you even read these messages? Useless bots.'),
	('en', false, 'Hi, could you tell me when order 1042 will ship? Thanks!'),
	('en', false, 'I am not angry, I just want to know whether you have it in blue.'),
	('en', false, 'Refund please, the shoes are too small. The label is printed.'),
	('en', false, 'THANK YOU SO MUCH!!! The dress is PERFECT!!!'),
	('en', false, 'No rush at all, whenever you have a minute.'),
	('en', false, 'Is the Angry Birds backpack back in stock?'),
	('en', false, 'I got a scam email that pretends to be you, just letting you know.'),
	('en', false, 'Sorry, my mistake: I gave you the wrong street number.'),
	('en', false, 'Do you sell the anti-fatigue mat? My feet are killing me at work, ha.'),
	('en', false, 'I am a lawyer and need an invoice with my office address.'),
	('en', false, 'Can I change the delivery to the second floor? Second time ordering, love it.'),
	('en', false, 'The zip broke after two days. Could you send a new one?'),
	('en', false, 'Please cancel my order 77, I ordered it twice by accident.'),
	('en', false, 'A bit disappointed with the colour, but my daughter likes it. Can I exchange it?'),
	('en', false, 'Still waiting for the tracking number, could you check?'),
	('en', false, 'What is the last date to return a gift?'),
	('en', false, 'The film was a horrible mess, but your popcorn machine is great!'),
	('en', false, 'How long is the warranty? And does it work with a 230 V socket??'),
	('en', false, 'My dog got sick of the other food, so I need more of this one.'),
	('en', false, 'Is it terrible if I wash it at 60 degrees?'),
	('en', false, 'I had enough points for the voucher but it does not show.'),
	('en', false, 'It is seriously the best coffee I have had. One more bag please!!'),
	('en', false, 'Please stop the newsletter immediately, thank you.'),
	('en', false, 'Can I report a damaged item here? The mug has a crack.'),
	('en', false, 'My last chance to order before Christmas is when?'),
	('en', false, 'We never buy without asking: is this fair trade?'),
	('en', false, 'Hello, the blender makes a loud noise, is that normal?'),
	('en', false, 'Would it be possible to get a partial refund as the box was damaged? Thank you.'),
	('en', false, 'I love these socks, but one pair has a hole. Photo attached.'),
	('en', false, 'URGENT: please change the shipping address of order 5521'),
	('en', false, 'My parcel says delivered but I cannot find it. Any idea?'),
	('en', false, 'Do you ship to Norway? How long does it take?'),
	('en', false, 'The discount code does not work at checkout!'),
	('de', true, 'Das ist eine Frechheit! Ich warte seit drei Wochen auf meine Bestellung.'),
	('de', true, 'Ich schreibe Ihnen jetzt zum dritten Mal und niemand antwortet.'),
	('de', true, 'Wenn ich mein Geld nicht bis Montag habe, schalte ich meinen Anwalt ein.'),
	('de', true, 'UNVERSCHAEMT!!! Nie wieder bestelle ich bei euch!'),
	('de', true, 'So ein Saftladen, mir reicht es.'),
	('de', true, 'Absolute Katastrophe, der Support ist komplett unfähig.'),
	('de', true, 'Ich bin stinksauer, die Hose ist schon wieder die falsche Größe.'),
	('de', true, 'Das ist doch Betrug, ich gehe zur Verbraucherzentrale.'),
	('de', true, 'Meine Geduld ist am Ende. Letzte Frist: Freitag.'),
	('de', true, 'Wollen Sie mich verarschen? Seit Wochen werde ich hingehalten.'),
	('de', true, 'Ich erwarte unverzüglich eine Antwort, sonst gehe ich rechtlich gegen Sie vor.'),
	('de', true, 'Was ist das denn für ein Verein? Keiner fühlt sich zuständig!!!'),
	('de', true, 'Einfach nur peinlich, was Sie da abliefern. Finger weg von diesem Shop!'),
	('de', true, 'Das lasse ich mir nicht bieten.'),
	('de', true, 'Seit einem Monat warte ich, und Sie vertrösten mich nur. Ich habe die Nase voll!'),
	('de', true, 'Das ist der schlechteste Kundenservice, den ich je erlebt habe.'),
	('de', true, 'Lächerlich. Sofort Geld zurück!'),
	('de', true, 'Antworten Sie endlich!!! Das ist bereits meine vierte Mail.'),
	('de', true, 'Sie haben mich angelogen, das Paket wurde nie verschickt.'),
	('de', false, 'Guten Tag, wann kommt meine Bestellung ungefähr an? Vielen Dank.'),
	('de', false, 'Ich bin nicht wütend, ich möchte nur wissen, wo das Paket ist.'),
	('de', false, 'Haben Sie auch saure Gummibärchen?'),
	('de', false, 'Bitte stornieren Sie die zweite Bestellung, das war mein Fehler.'),
	('de', false, 'Das Kleid ist der Hammer, tausend Dank!!!'),
	('de', false, 'Ich habe Ihre Anzeige gesehen: gilt der Rabatt noch?'),
	('de', false, 'Der Reißverschluss klemmt, kann ich die Jacke umtauschen?'),
	('de', false, 'Es eilt nicht, antworten Sie gerne nächste Woche.'),
	('de', false, 'Ich warte immer noch auf die Rechnung, könnten Sie sie schicken?'),
	('de', false, 'Welches Gericht kann man in dem Topf kochen?'),
	('de', false, 'Ist das Glas sicher verpackt? Letztes Jahr war leider eines kaputt.'),
	('de', false, 'Das ist ja unglaublich schnell gegangen, danke!'),
	('de', false, 'Mein Anwalt braucht die Rechnung auf seinen Namen.'),
	('de', false, 'Gibt es das Gericht auch ohne Fleisch?'),
	('de', false, 'Der Artikel kam leider defekt an. Was kann ich tun?'),
	('de', false, 'Hallo, leider passt die Hose nicht, wie funktioniert die Rücksendung?'),
	('de', false, 'Ich habe noch keine Versandbestätigung bekommen. Können Sie kurz nachsehen?'),
	('de', false, 'Super schnell geliefert, gerne wieder!!'),
	('de', false, 'Könnten Sie mir bitte sofort Bescheid geben, wenn das Buch wieder da ist?'),
	('fr', true, 'C''est inadmissible, je vous écris pour la troisième fois sans réponse !'),
	('fr', true, 'J''en ai marre de vos excuses, remboursez-moi immédiatement.'),
	('fr', true, 'Vous êtes des voleurs, je vais porter plainte.'),
	('fr', true, 'Service client lamentable. Plus jamais chez vous.'),
	('fr', true, 'Mon avocat vous enverra une mise en demeure lundi.'),
	('fr', true, 'Je suis furieuse : le colis est arrivé cassé et personne ne répond.'),
	('fr', true, 'Vous vous moquez de moi ??!! Ça suffit maintenant.'),
	('fr', true, 'C''est une honte, quelle arnaque ce site'),
	('fr', true, 'Je suis extrêmement mécontent, votre livreur a jeté le colis. Scandaleux.'),
	('fr', true, 'Vous vous fichez du monde, cela fait un mois !'),
	('fr', true, 'Remboursez-moi sous 48 heures, sinon je saisis la justice.'),
	('fr', true, 'Cela fait trois semaines que j''attends, c''est scandaleux.'),
	('fr', true, 'Votre service est nul, j''exige un remboursement.'),
	('fr', true, 'Encore une erreur ! Vous êtes vraiment incompétents.'),
	('fr', false, 'Bonjour, pouvez-vous me dire quand mon colis arrivera ? Merci.'),
	('fr', false, 'Je ne suis pas en colère, je voudrais juste échanger la taille.'),
	('fr', false, 'Remboursement s''il vous plaît, les chaussures sont trop petites.'),
	('fr', false, 'C''est parfait, merci beaucoup !!!'),
	('fr', false, 'Avez-vous encore la robe noire en 38 ?'),
	('fr', false, 'Rien ne presse, répondez quand vous pouvez.'),
	('fr', false, 'J''ai reçu une tentative d''arnaque à votre nom, je vous préviens.'),
	('fr', false, 'Un peu déçue de la couleur, est-il possible de la changer ?'),
	('fr', false, 'Ma fille est furieuse contre moi parce que j''ai oublié la taille ; avez-vous du 36 ?'),
	('fr', false, 'Le tribunal de commerce nous demande la facture, pouvez-vous la renvoyer ?'),
	('fr', false, 'Bonjour, je n''ai pas encore reçu mon colis, avez-vous des nouvelles ?'),
	('fr', false, 'La fermeture est cassée, puis-je avoir un remboursement ?'),
	('es', true, 'Es inaceptable, llevo semanas esperando mi pedido.'),
	('es', true, 'Esto es una estafa, los voy a denunciar.'),
	('es', true, 'Estoy harta de escribirles, nadie me responde.'),
	('es', true, '¡¡¡ES LA TERCERA VEZ QUE LES ESCRIBO!!! ¿Me están tomando el pelo?'),
	('es', true, 'Pésimo servicio, nunca más compro aquí.'),
	('es', true, 'Si mañana no tengo mi dinero hablaré con mi abogado.'),
	('es', true, 'Estoy muy enfadado, el paquete llegó abierto y sin la camisa.'),
	('es', true, 'Qué desastre de empresa, me han mentido dos veces.'),
	('es', true, 'Esto es una burla. Quiero hablar con un responsable YA.'),
	('es', true, 'Es una vergüenza cómo tratan a los clientes.'),
	('es', true, 'Exijo una solución hoy mismo, llevo un mes esperando.'),
	('es', true, '¿Nadie contesta los correos? Qué poca vergüenza.'),
	('es', false, 'Hola, ¿cuándo llega mi pedido? Muchas gracias.'),
	('es', false, 'No estoy enfadado, solo quiero saber si lo tienen en rojo.'),
	('es', false, '¿Puedo devolver los zapatos? Me quedan pequeños.'),
	('es', false, '¡¡¡Me encanta el vestido, gracias!!!'),
	('es', false, 'Me he equivocado de dirección, fue error mío.'),
	('es', false, 'No hay prisa, cuando puedan me dicen.'),
	('es', false, 'Soy abogada y necesito la factura a nombre del despacho.'),
	('es', false, '¿Me pueden decir la última vez que compré este modelo?'),
	('es', false, 'Es increíble lo bonito que es, gracias.'),
	('es', false, 'Buenas, el pedido llegó incompleto, falta un calcetín.'),
	('es', false, 'Todavía no he recibido el correo de confirmación, ¿pueden reenviarlo?'),
	('it', true, 'È una vergogna, aspetto da settimane e nessuno risponde.'),
	('it', true, 'Siete dei truffatori, vi denuncio!'),
	('it', true, 'Sono davvero arrabbiata, è la terza volta che mandate la taglia sbagliata.'),
	('it', true, 'Assistenza inesistente, un servizio pessimo e vergognoso. Mai più!'),
	('it', true, 'Ultimo avviso: o mi rimborsate o passo alle vie legali.'),
	('it', true, 'Mi state prendendo in giro? Ne ho abbastanza.'),
	('it', true, 'Sono due mesi che aspetto, siete ridicoli.'),
	('it', true, 'Basta! Voglio i miei soldi indietro subito!!!'),
	('it', true, 'Servizio clienti ridicolo, nessuno risponde al telefono.'),
	('it', true, 'Pretendo il rimborso immediato o vi denuncio.'),
	('it', false, 'Buongiorno, quando arriva il mio ordine? Grazie mille.'),
	('it', false, 'Non sono arrabbiato, vorrei solo cambiare la taglia.'),
	('it', false, 'Vorrei il rimborso, le scarpe sono troppo strette.'),
	('it', false, 'Nessuna fretta, rispondete con calma.'),
	('it', false, 'Il colore è un po'' diverso dalla foto, posso cambiarlo?'),
	('it', false, 'Grazie per la pazienza, ho trovato il pacco dal vicino!'),
	('it', false, 'Il pacco è arrivato rotto, come posso fare il reso?'),
	('it', false, 'Mia moglie è stufa del vecchio divano: quando arriva quello nuovo?'),
	('it', false, 'Salve, il codice sconto non funziona, potete aiutarmi?'),
	('it', false, 'Ancora non ho ricevuto la conferma, potete controllare?'),
	('pt', true, 'Isto é inaceitável, já é a terceira vez que escrevo.'),
	('pt', true, 'Vou fazer queixa no livro de reclamações, isto é uma vergonha.'),
	('pt', true, 'Que falta de respeito! Vou abrir reclamação no Procon.'),
	('pt', true, 'Estou farto de esperar, quero o meu dinheiro de volta imediatamente.'),
	('pt', true, 'Péssimo atendimento, ninguém responde, nunca mais compro aqui.'),
	('pt', true, 'É um golpe, vou processar vocês.'),
	('pt', true, 'Já liguei cinco vezes e ninguém resolve, é um absurdo.'),
	('pt', true, 'Vocês são uns mentirosos, devolvam o meu dinheiro.'),
	('pt', true, 'Que descaso com o cliente! Estou muito irritada.'),
	('pt', true, 'Exijo o reembolso, é a quarta vez que ligo.'),
	('pt', false, 'Olá, quando chega a minha encomenda? Obrigada.'),
	('pt', false, 'Não estou zangado, só queria trocar o tamanho.'),
	('pt', false, 'Queria o reembolso, os sapatos são pequenos.'),
	('pt', false, 'Vendem sacos de lixo de 50 litros?'),
	('pt', false, 'Sem pressa, respondam quando puderem.'),
	('pt', false, 'Adorei o presente, ficou perfeito!!!'),
	('pt', false, 'Basta uma chave para abrir o cadeado?'),
	('pt', false, 'A última vez comprei o tamanho M, agora quero L.'),
	('pt', false, 'Bom dia, o produto veio com um risco, como faço a troca?'),
	('pt', false, 'Ainda não recebi o código de rastreio, podem enviar?'),
	('nl', true, 'Dit is onacceptabel, ik mail nu voor de derde keer.'),
	('nl', true, 'Ik ben woedend, mijn pakket is weer niet geleverd!!'),
	('nl', true, 'Jullie zijn oplichters, ik doe aangifte.'),
	('nl', true, 'Wat een waardeloze service, hier bestel ik nooit meer.'),
	('nl', true, 'Ik ben het zat, niemand reageert en ik wil mijn geld terug.'),
	('nl', true, 'Als dit vrijdag niet is opgelost zet ik juridische stappen.'),
	('nl', true, 'Belachelijk dat ik hier al weken op wacht.'),
	('nl', true, 'Wat een schande, al twee maanden wachten en alleen maar smoesjes.'),
	('nl', true, 'Ik pik dit niet langer!'),
	('nl', true, 'Schandalig hoe jullie met klanten omgaan.'),
	('nl', true, 'Vierde mail en nog steeds geen reactie. Ik eis mijn geld terug.'),
	('nl', false, 'Hallo, wanneer komt mijn bestelling? Alvast bedankt.'),
	('nl', false, 'Ik ben niet boos, ik wil alleen de maat ruilen.'),
	('nl', false, 'Graag mijn geld terug, de schoenen zijn te klein.'),
	('nl', false, 'Geen haast hoor, laat maar weten.'),
	('nl', false, 'Kan ik de kassabon nog een keer krijgen?'),
	('nl', false, 'De kleur is iets anders dan op de foto, kan ik ruilen?'),
	('nl', false, 'Wat een prachtige jas, dank je wel!!!'),
	('nl', false, 'Kan ik bij jullie afrekenen aan de kassa?'),
	('nl', false, 'Mijn advocaat heeft een kopie van de factuur nodig.'),
	('nl', false, 'Het pakket is beschadigd aangekomen, wat nu?'),
	('nl', false, 'Hoi, de trui is te groot, hoe stuur ik hem terug?'),
	('nl', false, 'Ik heb nog geen bevestiging gekregen, kunnen jullie kijken?');

CREATE TEMPORARY TABLE heard AS
	SELECT m.*, g.angry AS given, a.angry AS guessed, a.language AS guess
	FROM message AS m, hotdash.escalation_language(m.message, m.language) AS g, hotdash.escalation_language(m.message) AS a;

CREATE FUNCTION pg_temp.score(message text, language text DEFAULT NULL) RETURNS float8 LANGUAGE sql AS $$
	SELECT score FROM hotdash.escalation_language(message, language)
$$;
CREATE FUNCTION pg_temp.found(message text, language text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT array_to_string(matches, ', ') FROM hotdash.escalation_language(message, language)
$$;

SELECT diag(format('%s messages, %s of them angry; precision %s, recall %s; language not given: %s, %s', count(*),
	count(*) FILTER (WHERE angry),
	round(count(*) FILTER (WHERE angry AND given)::numeric / count(*) FILTER (WHERE given), 3),
	round(count(*) FILTER (WHERE angry AND given)::numeric / count(*) FILTER (WHERE angry), 3),
	round(count(*) FILTER (WHERE angry AND guessed)::numeric / count(*) FILTER (WHERE guessed), 3),
	round(count(*) FILTER (WHERE angry AND guessed)::numeric / count(*) FILTER (WHERE angry), 3))) FROM heard;
SELECT ok(count(*) FILTER (WHERE angry) >= 100 AND count(*) FILTER (WHERE NOT angry) >= 100, 'messages of both kinds') FROM message;
SELECT cmp_ok(count(*) FILTER (WHERE angry AND given)::numeric / count(*) FILTER (WHERE given), '>=', 0.95, 'precision')
	FROM heard;
SELECT cmp_ok(count(*) FILTER (WHERE angry AND given)::numeric / count(*) FILTER (WHERE angry), '>=', 0.95, 'recall')
	FROM heard;
SELECT cmp_ok(count(*) FILTER (WHERE angry AND guessed)::numeric / count(*) FILTER (WHERE guessed), '>=', 0.95,
	'precision, the language not given') FROM heard;
SELECT cmp_ok(count(*) FILTER (WHERE angry AND guessed)::numeric / count(*) FILTER (WHERE angry), '>=', 0.95,
	'recall, the language not given') FROM heard;
SELECT cmp_ok(min(h.share), '>=', 0.85, 'in each language most are heard')
	FROM (SELECT avg((angry = given)::int) AS share FROM heard GROUP BY language) AS h;
SELECT cmp_ok(avg((guess = language)::int), '>=', 0.9, 'and the language of those that are angry is found')
	FROM heard WHERE angry AND guess IS NOT NULL;

/*
 * What adds and what takes back
 */

SELECT is(pg_temp.score('I am angry', 'en') > 0 AND pg_temp.score('I am not angry', 'en') = 0, true, 'not angry is not angry');
SELECT is(pg_temp.score('Refund please', 'en'), 0::float8, 'asking for a refund is nothing');
SELECT is(pg_temp.score('unacceptable', 'en'), pg_temp.score('Unacceptable. UNACCEPTABLE, unacceptable', 'en'),
	'a phrase counts once');
SELECT is(pg_temp.score('The third. Time to order again', 'en'), 0::float8, 'a phrase does not reach over the end of a sentence');
SELECT is(pg_temp.found('the third time', 'en'), 'third time', 'within one it is found');
SELECT is(pg_temp.score('hello there', 'en'), 0::float8, 'calm');
SELECT is(pg_temp.found('WHERE IS ORDER SEVEN', 'en'), 'CAPITALS', 'capital letters');
SELECT is(pg_temp.score('Size XL, SKU AB12', 'en'), 0::float8, 'are those of whole words');
SELECT is(pg_temp.found('hello!!', 'en') || pg_temp.score('hello!!', 'en'), '!!!0.2', 'exclamation marks');
SELECT is(pg_temp.score('hello!', 'en'), 0::float8, 'one is none');
SELECT cmp_ok(pg_temp.score('hello!?!?', 'en'), '>', pg_temp.score('hello!!', 'en'), 'more are more');
SELECT is(pg_temp.score('hello???', 'en'), 0::float8, 'asking is not shouting');
SELECT is(pg_temp.found(U&'hello \+01F92C', 'en'), 'angry face', 'an angry face');
SELECT is((hotdash.escalation_language('WHERE ARE YOUR SHOES!!!!!!', 'en')).angry, false, 'loud alone is not angry');
SELECT is((hotdash.escalation_language('THIS SHOP STINKS: TERRIBLE!!!', 'en')).angry, true, 'but it adds');
SELECT is(pg_temp.found('rude/useless.Refund', 'en'), 'useless, rude', 'words stick together as they like');
SELECT is(pg_temp.found(U&'UNVERSCHA\0308MT', 'de'), pg_temp.found(U&'unversch\00E4mt', 'de'), 'a mark by itself or with its letter');
SELECT is(pg_temp.found('unverschaemt', 'de'), pg_temp.found('unverschämt', 'de'), 'umlauts may be written out');
SELECT is(pg_temp.found('SCHEISSLADEN', 'de'), pg_temp.found('Scheißladen', 'de'), 'and so may a sharp s');
SELECT is(pg_temp.found('vous etes incompetents', 'fr'), pg_temp.found('vous êtes incompétents', 'fr'), 'accents may be missing');
SELECT is((hotdash.escalation_language('Das ist eine Frechheit', 'de-AT')).language, 'de', 'a language with its country');
SELECT is((hotdash.escalation_language('Das ist eine Frechheit', 'DE_ch')).angry, true, 'however written');
SELECT is((hotdash.escalation_language('Das ist eine Frechheit', 'en')).angry, false, 'only the dictionary that was named');
SELECT is((hotdash.escalation_language('Das ist eine Frechheit', 'xx')).language, 'de', 'one that is not there: all are tried');
SELECT is((hotdash.escalation_language('Das ist eine Frechheit')).language, 'de', 'so they are without one');
SELECT is(hotdash.escalation_language('hello'), ROW(false, 0, '{}', NULL)::hotdash.language_result, 'nothing found: no language');
SELECT is(hotdash.escalation_language('', 'en'), ROW(false, 0, '{}', 'en')::hotdash.language_result, 'nothing said');
SELECT throws_ok($$SELECT hotdash.escalation_language(NULL)$$, '22004');
SET LOCAL hotdash.escalation_angry_score = 0.5;
SELECT is((hotdash.escalation_language('terrible', 'en')).angry, true, 'from which score on is a setting');
RESET hotdash.escalation_angry_score;

-- Bounded, and without a word to the client.
SELECT is((hotdash.escalation_language(repeat('x', 200000) || ' unacceptable')).score, 0::float8, 'the first 64 kB are read');
SELECT is((hotdash.escalation_language(repeat(U&'\00E4', 40000))).score, 0::float8, 'a word that never ends');
SELECT is((hotdash.escalation_language(repeat(U&'\+01F92C!', 20000))).angry, false, 'faces and marks without a word');

/*
 * Dictionaries
 */

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
	($$SELECT hotdash.escalation_phrase_set(NULL, 'a', 1)$$, '22004'),
	($$SELECT hotdash.escalation_phrase_set('en', NULL, 1)$$, '22004'),
	($$SELECT hotdash.escalation_phrase_set('en', 'a', NULL)$$, '22004'),
	($$SELECT hotdash.escalation_phrase_set('english', 'a', 1)$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', ' ', 1)$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', '!!', 1)$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', '* a', 1)$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', 'a b c d e f g h i j k', 1)$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', 'a', 'NaN')$$, '22023'),
	($$SELECT hotdash.escalation_phrase_set('en', 'a', 101)$$, '22023')
) AS t (call, code);
SELECT hotdash.escalation_phrase_set('en', 'Banana  Split', 2) \g /dev/null
SELECT is(pg_temp.found('a banana splitting', 'en'), 'banana split', 'a phrase of our own, by its stems');
SELECT hotdash.escalation_phrase_set('en', 'unacceptable', 0) \g /dev/null
SELECT is(pg_temp.score('unacceptable', 'en'), 0::float8, 'one that is shipped, switched off');
SELECT results_eq($$SELECT weight, shipped_weight FROM hotdash.escalation_phrases WHERE language = 'en' AND phrase = 'unacceptable'$$,
	$$VALUES (0::float8, 1::float8)$$, 'as the view shows');
SELECT ok(hotdash.escalation_phrase_delete('en', 'Unacceptable') AND NOT hotdash.escalation_phrase_delete('en', 'unacceptable'),
	'forgotten');
SELECT is(pg_temp.score('unacceptable', 'en'), 1::float8, 'and as it was');
SAVEPOINT undone;
SELECT hotdash.escalation_phrase_set('en', 'rolled back', 3) \g /dev/null
SELECT is(pg_temp.score('rolled back', 'en'), 3::float8, 'a change counts at once');
ROLLBACK TO undone;
SELECT is(pg_temp.score('rolled back', 'en'), 0::float8, 'and is undone');
SELECT hotdash.escalation_phrase_set('da', 'det er for * galt', 1) \g /dev/null
SELECT ok((hotdash.escalation_language('Det er for meget galt', 'da')).angry AND NOT (hotdash.escalation_language('Det er for galt', 'da')).angry,
	'another language, with any word between');
SELECT is_empty($$SELECT language, phrase FROM hotdash._escalation_phrases_shipped() GROUP BY 1, 2 HAVING count(*) > 1$$,
	'no phrase is shipped twice');
SELECT is_empty($$SELECT phrase FROM hotdash._escalation_phrases_shipped() AS s
	WHERE phrase <> lower(normalize(btrim(regexp_replace(phrase, '\s+', ' ', 'g')))) OR weight = 0$$, 'each can be overridden by name');

SELECT * FROM finish();
ROLLBACK;
