/*
 * sla_language.sql: whether a message sounds angry: dictionaries of phrases with weights, one a language.
 *
 * A message is put into words (extension/sla/words.h), these go through the language's stemmer as PostgreSQL's text
 * search has it, and each phrase of the dictionary that is found adds its weight, once. Capital letters, exclamation marks
 * and angry faces add a little, never enough by themselves. From hotdash.escalation_angry_score on it is angry.
 *
 * The stemmers have no stop words here: "not angry" is a phrase of its own, with a weight below zero that takes back what
 * "angry" adds. What is shipped is code (_escalation_phrases_shipped); a row of _escalation_phrase goes before it, and one
 * of weight 0 switches it off.
 */

/*
 * Stemmers that keep every word
 */

DO $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT * FROM (VALUES ('de', 'german'), ('en', 'english'), ('es', 'spanish'), ('fr', 'french'), ('it', 'italian'),
			('nl', 'dutch'), ('pt', 'portuguese')) AS v (code, name) LOOP
		EXECUTE format('CREATE TEXT SEARCH DICTIONARY hotdash.%I (TEMPLATE = pg_catalog.snowball, LANGUAGE = %I)',
			'_stem_' || s.code, s.name);
		EXECUTE format('COMMENT ON TEXT SEARCH DICTIONARY hotdash.%I IS %L', '_stem_' || s.code,
			format('Stems of all words, %s', s.name));
		EXECUTE format('CREATE TEXT SEARCH CONFIGURATION hotdash.%I (PARSER = pg_catalog."default")', '_words_' || s.code);
		EXECUTE format('ALTER TEXT SEARCH CONFIGURATION hotdash.%I
			ADD MAPPING FOR asciiword, word, numword, uint, sfloat WITH hotdash.%I', '_words_' || s.code, '_stem_' || s.code);
		EXECUTE format('COMMENT ON TEXT SEARCH CONFIGURATION hotdash.%I IS %L', '_words_' || s.code,
			format('How messages and phrases are read, %s', s.name));
	END LOOP;
END
$$;

CREATE TEXT SEARCH CONFIGURATION hotdash._words (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION hotdash._words
	ADD MAPPING FOR asciiword, word, numword, uint, sfloat WITH pg_catalog.simple;
COMMENT ON TEXT SEARCH CONFIGURATION hotdash._words IS 'How messages and phrases in other languages are read: as they are';

/*
 * What is shipped
 */

CREATE FUNCTION hotdash._escalation_phrases_shipped() RETURNS TABLE (language text, weight float8, phrase text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 500
	SET search_path = pg_catalog, pg_temp
	AS $$
		/*
		 * One list a language and weight; from 1.0 on a phrase is enough. * stands for any one word, and at the end of a word for
		 * any ending. Below zero: what means the opposite, is said of something else, or belongs to a message in good spirits.
		 */
		SELECT s.language, s.weight, btrim(p.phrase)
		FROM (VALUES
			('en', 1.5, 'fuck*, bullshit, piece of shit, piece of crap, thanks for nothing, go to hell, asshole*,
				bastard*, scammer*, thieves, con artists, idiot*, moron*, shame on you, how dare you, stole my money,
				stolen my money, stealing my money, take you to court, see you in court, sue you, see you in hell'),
			('en', 1.0, 'unacceptable, not acceptable, outrageous, disgraceful, fed up, sick and tired, last straw,
				final warning, last warning, worst company, worst service, worst customer, worst experience,
				never again, legal action, small claims, consumer protection, trading standards,
				better business bureau, chargeback, charge back, what a joke, absolute joke, complete joke, total joke,
				waste of time, waste of money, rip off, ripped off, liars, infuriating, appalling, disgusting,
				incompetent, wtf, shit, ignoring me, enraged, losing my patience, lost my patience,
				run out of patience, end of my patience, joke of a, bunch of clowns, taking the piss, beyond a joke,
				lied to me, taking me for a fool, sick of this, sick of you, sick of your, sick of waiting,
				sick of being, i have had enough, i ve had enough, had enough of this, had enough of you,
				had enough of your, your last chance, one last chance, never buy from you, never buy * again,
				never order * again, never ordering * again, never shop * again, will never buy, will never order,
				will never shop, my lawyer will, my lawyers will, my attorney will, my solicitor will, lawyer up,
				hear from my lawyer, hear from my attorney, contact my lawyer, contacting my lawyer, lawyer involved,
				i am angry, i m angry, so angry, very angry, really angry, extremely angry, am furious, m furious,
				absolutely furious, absolutely livid, m livid, am livid, be reporting you, reporting you,
				report you to, report your company, report this company, go to the press, going to the press,
				are you kidding, are you serious, kidding me, kind of clowns, you clowns, nobody cares, no one cares,
				do not care about * customers, get your act together, sort this out now, gone on long enough,
				unbelievable service, absolute garbage, complete garbage, total garbage, what the hell,
				what is wrong with you, this is a scam, is a scam, a total scam, your scam, a fraud, are frauds'),
			('en', 0.7, 'ridiculous, useless, crap, stupid, lying, fourth time, fifth time, tenth time, how many times,
				fraud, shameful, not happy, worst, nightmare, insulting, no excuse, inexcusable, scam, angry, furious,
				livid, pathetic, garbage, clowns, seriously what, seriously how, goddamn, regret ordering, regret ever,
				regret buying, four times, five times, six times, ten times, last time i, excuses, absurd, sloppy,
				scandal, fake promises, false promises, empty promises, broken promises, you promised, joke of'),
			('en', 0.6, 'terrible, horrible, awful, rude, frustrating, unhappy, third time, demand, nobody answers,
				nobody replies, nobody responds, no one answers, no one replies, no one responds, negative review,
				bad review, bad reviews, one star, 1 star, lies, keep ignoring, being ignored, waiting for weeks,
				waiting for months, cancel everything, stop wasting, want my money, dreadful, atrocious,
				not good enough, lose me as a customer, lost a customer, my lawyer, my attorney, my solicitor, lawyer,
				or i will, or i go, or i ll, you have until, speak to a manager, speak to your manager,
				speak to the manager, give me my money, long enough, three times, another delay, third delay,
				unprofessional, contacted you, emailed you, still have not, still haven t,
				worse and worse, avoid this, stay away from, never arrived, no explanation'),
			('en', 0.4, 'upset, disappointed, still waiting, still no, no response, no reply, ignored, how much longer,
				hell, lie, social media, mad, unbelievable, right now, cancel my, weeks ago, second time, joke,
				once and for all, or else, two weeks, three weeks, four weeks, a month, two months, my money back,
				money back now, until monday, until friday, until tomorrow, by tomorrow, refund me, manager,
				immediate refund, refund immediately, nobody, yet again, once again, again and again, disappointing,
				fix this, explain'),
			('en', -0.4, 'thank you, thanks, love, great, happy, perfect, wonderful, appreciate, cheers, kind regards,
				take your time, best, nice, please let me know, not a problem, glad'),
			('en', -0.7, 'no rush, no hurry, not urgent, no worries, my fault, my mistake, my bad, not your fault,
				not upset, not mad, not frustrated, not disappointed, not terrible, not horrible, not awful, not rude,
				not useless, not stupid, not the worst, nothing terrible, nothing horrible, phishing, fake email,
				mad about, terrible at, damn good, right now i am, not in a hurry, was a joke, just a joke, joking'),
			('en', -1.0, 'not angry, not * angry, not * * angry, never angry, no longer angry, angry birds,
				not furious, not a scam, scam email, scam emails, scam call, scam mail, scam message, fraud prevention,
				fraud department, fraud check, fraud alert, not fed up, not a complaint, no complaint, no complaints,
				not complaining, not a waste of time, not disgusting, a chargeback works, a complaint but,
				nothing unacceptable, no legal action, without legal action, scam or, not fraud'),
			('de', 1.5, 'scheiß*, verarsch*, arschloch, arschlöcher, saftladen, sauladen, drecksladen, sauhaufen,
				unter aller sau, betrüger*, halsabschneider, gauner*, verbrecher*, idiot*, vollidiot*, frechheit,
				schämen sie sich, schämt euch, strafanzeige, anzeige erstatten, zeige sie an, stinksauer, verpiss*'),
			('de', 1.0, 'unverschämt*, inakzeptabel, nicht akzeptabel, unakzeptabel, nicht hinnehmbar, wütend,
				stocksauer, zumutung, nie wieder, nie mehr wieder, anwalt einschalten, verbraucherzentrale,
				verbraucherschutz, letzte frist, letzte warnung, mir reicht es, mir reichts, jetzt reicht es,
				jetzt reichts, abzocke*, abgezockt, lächerlich, inkompetent*, unfähig, schweinerei, sauerei, lügner*,
				belogen, angelogen, dreist*, veräppel*, für dumm, zum narren, hals voll, nase voll, schnauze voll,
				geduld am ende, geduld ist am ende, meine geduld, rechtliche schritte, klage einreichen, katastrophal*,
				unterirdisch*, absolute katastrophe, so nicht, was fällt ihnen ein, was soll der mist,
				macht mich rasend, mein anwalt wird, meinen anwalt einschalten, meinem anwalt übergeben,
				anwalt übergeben, von meinem anwalt, rechtsanwalt einschalten, zum anwalt, vor gericht, zum gericht,
				gericht sehen, rechtlich gegen sie, rechtlich vorgehen, gegen sie vor, ihre letzte chance,
				eine letzte chance, das letzte mal, zum letzten mal, das ist betrug, ist doch betrug, reiner betrug,
				einschalte, lasse ich mir nicht bieten, lasse mir das nicht, nicht bieten lassen,
				für ein verein, was für ein laden, finger weg, wollen sie mich, ernsthaft verärgert,
				ist das euer ernst, ist das ihr ernst, keiner fühlt sich zuständig, niemand fühlt sich zuständig,
				absolut enttäuscht, maßlos enttäuscht, an die presse, reinste'),
			('de', 0.7, 'verärgert, sauer, unfassbar, katastrophe, unseriös, hingehalten, gelogen, lügen, verdammt,
				zum dritten mal, zum vierten mal, zum fünften mal, zum x ten mal, dritte mail, dritte nachricht,
				vierte mail, nicht zufrieden, unzufrieden, zum kotzen, peinlich, armselig, mist, schlechteste,
				ärgerlich, ignoriert, ignorieren sie, betrug, anwalt, unverzüglich, miserabel, grottig, müll, schrott,
				zustände, abliefern, ausreden, vertröstet, ignoranz, kundenunfreundlich, unprofessionell, schande,
				schlamperei, schlampig, wütend machend, viermal, fünfmal, viermal geschrieben, dreimal geschrieben'),
			('de', 0.6, 'verlange, fordere, frustriert, keiner antwortet, niemand meldet sich, keiner meldet sich,
				schlechte bewertung, negative bewertung, warte seit wochen, seit wochen, seit monaten,
				mein geld zurück, eine schande, ein witz, schlimmste, saumäßig, niemand antwortet,
				schon wieder die falsche, schon wieder falsch, schon wieder nicht, schon wieder kaputt, sonst gehe ich,
				sonst werde ich, ansonsten werde ich, andernfalls, keiner, zuständig, drei wochen, zwei wochen,
				vier wochen, zwei monate, geld zurück sonst, dreimal, ich erwarte, wann endlich, endlich'),
			('de', 0.4, 'enttäuscht, keine antwort, keine reaktion, immer noch nicht, immer noch keine,
				immer noch kein, sofort, umgehend, wie lange noch, dumm, frist, unglaublich dass, unglaublich wie,
				einfach unmöglich, schon wieder, einem monat, bis montag, bis freitag, bis morgen, geld zurück,
				niemand'),
			('de', -0.4, 'danke, vielen dank, besten dank, toll, super, zufrieden, gerne, freue mich, liebe grüße,
				herzlich*, wunderbar'),
			('de', -0.7, 'nicht sauer, nicht verärgert, nicht enttäuscht, nicht ärgerlich, keine eile, eilt nicht,
				kein problem, nicht schlimm, mein fehler, sauer sahne, saure*, saures, zu sauer, macht nichts,
				nicht dringend, phishing, kein mist'),
			('de', -1.0, 'nicht wütend, nicht * wütend, kein betrug, betrugsversuch, keine beschwerde,
				nicht unverschämt, keine zumutung, nicht für dumm, gar nicht lächerlich'),
			('fr', 1.5, 'merde, connard*, salaud*, escroc*, voleurs, bande de, enfoiré*, foutage de gueule, foutez de,
				vous foutez, va te faire, allez vous faire, idiot*, imbécile*, porter plainte, dépose plainte,
				porterai plainte, honte à vous, bande d escrocs'),
			('fr', 1.0, 'inadmissible, inacceptable, pas acceptable, scandaleux, scandaleuse, scandale, honteux,
				honteuse, une honte, ras le bol, arnaqué, arnaquer, plus jamais, jamais plus, dernier avertissement,
				dernière chance, dernière relance, mise en demeure, action en justice, répression des fraudes, dgccrf,
				60 millions de consommateurs, incompétent*, incompétence, menteur*, moquez de moi, moquez de nous,
				moque de moi, foutre, se moque de, se moquer du monde, prendre pour un con, prenez pour un,
				perte de temps, lamentable, dégueulasse, hors de moi, insupportable, ça suffit, n importe quoi,
				pire service, pire expérience, service nul, suis furieux, suis furieuse, très en colère,
				suis en colère, vraiment en colère, en ai marre, y en a marre, quelle arnaque, une arnaque,
				de l arnaque, mon avocat vous, mon avocat va, contacter mon avocat, saisir mon avocat,
				saisir le tribunal, saisis le tribunal, saisir la justice, saisis la justice, devant le tribunal,
				que choisir, suis à bout, complètement ridicule, vous êtes ridicules, patience a des limites,
				fichez du monde, fiche du monde, vous fichez de, moquez du monde, c est du vol, du grand n importe,
				honte de, aucun respect, aucun sérieux, aucun professionnalisme, à la presse, prenez pour qui'),
			('fr', 0.7, 'troisième fois, quatrième fois, cinquième fois, combien de fois, combien de temps encore,
				mensonge*, mentir, mécontent*, déplorable, catastrophique, désastreux, désastre, nul, exaspéré, énervé,
				énervant, pas content, pas contente, pas sérieux, intolérable, aberrant, se foutre, arnaque, furieux,
				furieuse, en colère, marre, avocat, la justice, ridicule, extrêmement mécontent,
				nulle part ailleurs, honte, excuses, ma patience, plaisantez, vous plaisantez, pitoyable, médiocre,
				quatre fois, cinq fois, promesses'),
			('fr', 0.6, 'exige, avis négatif, mauvais avis, personne ne répond, personne ne me répond,
				toujours pas reçu, toujours rien, depuis des semaines, depuis des mois, pire, frustré, frustrant,
				agacé, horrible, réclame, rembourser immédiatement, remboursement immédiat, le comble, sinon je,
				cela fait un mois, ça fait un mois, fait deux mois, fait trois semaines, un mois que, deux mois que,
				responsable, encore une fois, remboursez moi, trois fois, mon argent'),
			('fr', 0.4, 'déçu, déçue, aucune réponse, sans réponse, pas de réponse, toujours pas, deuxième fois,
				réseaux sociaux, annuler ma commande, sous 48, incroyable que, c est incroyable ce, immédiat,
				deux semaines, trois semaines, personne, maintenant'),
			('fr', -0.4, 'merci, bonne journée, cordialement, parfait, ravi, contente, content, génial, super,
				excellent'),
			('fr', -0.7, 'pas déçu, pas énervé, pas pressé, rien ne presse, ma faute, mon erreur, pas grave,
				pas urgent, aucune urgence, phishing, hameçonnage, pas nul, nul besoin, nulle part, pas mécontent,
				match nul, prenez votre temps, pas un mensonge'),
			('fr', -1.0, 'pas en colère, pas * en colère, pas furieux, pas fâché, pas une arnaque, tentative d arnaque,
				pas une réclamation, pas une plainte, pas ridicule, pas marre, pas inacceptable, rien de scandaleux,
				pas un scandale'),
			('es', 1.5, 'mierda, puta, puto, gilipollas, cabrones, cabrón, estafador*, ladrones, sinvergüenza*,
				imbécil*, idiota*, vayan al infierno, váyanse a la, hijos de, no tienen vergüenza, voy a denunciar,
				los voy a denunciar, pienso denunciar, les denunciaré, qué vergüenza'),
			('es', 1.0, 'inaceptable, no es aceptable, indignante, indignado, indignada, vergonzoso, vergonzosa,
				una vergüenza, enfadado, enfadada, enojado, enojada, cabreado, cabreada, hasta las narices,
				hasta la coronilla, estafa, estafado, me han estafado, nunca más, jamás vuelvo, no vuelvo a comprar,
				última advertencia, último aviso, demanda judicial, acciones legales, acción legal,
				oficina del consumidor, defensa del consumidor, organización de consumidores, profeco,
				hoja de reclamaciones, incompetentes, incompetencia, ineptos, mentirosos, tomadura de pelo,
				tomando el pelo, tomarme el pelo, se burlan, pésimo, pésima, ridículo, ridícula, pérdida de tiempo,
				paciencia se, mi paciencia, ya basta, basta ya, peor empresa, peor servicio, peor experiencia,
				falta de respeto, asco, no hay derecho, intolerable, mi abogado hablará, hablaré con mi abogado,
				hablar con mi abogado, contactaré a mi abogado, mi abogado se, por última vez, última vez que les,
				es la última vez, es una burla, una burla, estoy harto, estoy harta, muy harto, estoy furioso,
				estoy furiosa, poner una denuncia, pondré una denuncia, a los tribunales, llevarlos a juicio,
				ya está bien, es un abuso, un robo, es un robo, qué desastre, me han mentido, nos han mentido,
				quién se creen, se ríen de, riendo de, a la prensa, vergüenza de'),
			('es', 0.7, 'tercera vez, cuarta vez, quinta vez, cuántas veces, cuánto más, mentira*, mienten, lamentable,
				desastre, horrible, molesto, molesta, descontento, inútil, inútiles, no estoy contento, ignorando,
				inadmisible, abogado, harto, harta, furioso, furiosa, denuncia, burla, mentido, excusas,
				increíble que todavía, cuatro veces, cinco veces, basura, chapuza, poco serio, poca seriedad,
				falta de profesionalidad, abuso'),
			('es', 0.6, 'exijo, reseña negativa, mala reseña, malas reseñas, nadie responde, nadie contesta,
				nadie me responde, nadie me contesta, llevo semanas, llevo meses, hace semanas, frustrado, frustrada,
				frustrante, peor, devuélvanme, mi dinero, sigo esperando, de una vez, terrible,
				hablar con un responsable, con un supervisor, o me, un mes esperando, dos meses esperando, dos meses,
				tres semanas, de lo contrario, tres veces, otra vez más, en absoluto profesional'),
			('es', 0.4, 'decepcionado, decepcionada, decepcionante, sin respuesta, ninguna respuesta, todavía no,
				aún no, segunda vez, redes sociales, cancelar mi, me ignoran, responsable, ya mismo, dos veces,
				dos semanas, un mes, nadie, otra vez'),
			('es', -0.4, 'gracias, muchas gracias, encantado, encantada, perfecto, genial, excelente, saludos,
				contento, contenta, feliz, me encanta'),
			('es', -0.7, 'no estoy molesto, no estoy molesta, sin prisa, no hay prisa, no corre prisa, no es urgente,
				mi culpa, mi error, fue error mío, no pasa nada, no me molesta, si no es molestia, no es molestia,
				phishing, no es mentira, tómense su tiempo, no tan horrible'),
			('es', -1.0, 'no estoy enfadado, no estoy enfadada, no estoy enojado, no estoy enojada, no * enfadado,
				no * enfadada, no * enojado, no * enojada, no estoy furioso, no estoy harto, no estoy harta,
				no es una queja, no es una estafa, no es ninguna estafa, intento de estafa, no es una denuncia,
				soy abogado, soy abogada'),
			('it', 1.5, 'merda, stronz*, vaffanculo, cazzo, coglion*, ladri, truffator*, bastard*, idiot*, imbecill*,
				vergognatevi, si vergogni, dovreste vergognarvi, fate schifo, vi denuncio, vi denuncerò,
				sporgere denuncia, sporgo denuncia, presi per il culo, prendere per il culo, farabutti, delinquenti'),
			('it', 1.0, 'inaccettabile, non è accettabile, vergognoso, vergognosa, una vergogna, che vergogna,
				furibond*, incazzat*, stanco di aspettare, stanca di aspettare, ne ho abbastanza, truffa, truffato,
				truffata, mai più, ultimo avviso, ultimo avvertimento, azioni legali, vie legali, azione legale,
				giudice di pace, associazione consumatori, altroconsumo, codacons, adiconsum, incompetent*,
				incompetenza, incapaci, bugiard*, presa in giro, prendendo in giro, prendere in giro, ridicolo,
				ridicola, perdita di tempo, schifo, schifoso, scandaloso, scandalosa, indecente, mia pazienza,
				ora basta, adesso basta, peggior servizio, peggiore servizio, peggior azienda, peggiore esperienza,
				mancanza di rispetto, messa in mora, mio avvocato vi, mio avvocato si, contatterò il mio avvocato,
				sentirete il mio avvocato, dal mio avvocato, per l ultima volta, ultima volta che, sono stufo,
				sono stufa, siamo stufi, sono arrabbiato, sono arrabbiata, davvero arrabbiato, davvero arrabbiata,
				molto arrabbiato, molto arrabbiata, sono furioso, sono furiosa, in tribunale, perso la pazienza,
				perdendo la pazienza, è assurdo, siete ridicoli, basta voglio, siete dei ladri, è un furto,
				mi avete mentito, state scherzando, mi prendete in giro, alla stampa, poco seri, non se ne può più'),
			('it', 0.7, 'terza volta, quarta volta, quinta volta, quante volte, quanto ancora, bugie, mentite, pessimo,
				pessima, disastro, penoso, penosa, indignat*, insoddisfatt*, inutile, inutili, non sono contento,
				non sono contenta, ignorando, intollerabile, deplorevole, avvocato, stufo, stufa, arrabbiato,
				arrabbiata, denuncia, scuse, quattro volte, cinque volte, basta, spazzatura, ridicoli, assurdo,
				furioso, furiosa, mentito, inesistente'),
			('it', 0.6, 'pretendo, esigo, recensione negativa, pessima recensione, recensioni negative,
				nessuno risponde, nessuno mi risponde, da settimane, da mesi, frustrat*, frustrante, orribile,
				terribile, peggio, i miei soldi, miei soldi, sto ancora aspettando, una volta per tutte, rivoglio i,
				due mesi, un mese che, tre settimane, altrimenti, un responsabile, tre volte, ennesima volta,
				per l ennesima'),
			('it', 0.4, 'deluso, delusa, delusione, nessuna risposta, senza risposta, ancora niente, ancora nulla,
				seconda volta, annullare il mio, incredibile che, soldi indietro, rimborso immediato, due settimane,
				un mese, nessuno, ancora una volta, voglio i'),
			('it', -0.4, 'grazie, grazie mille, perfetto, ottimo, cordiali saluti, felice, contento, contenta,
				gentilissimi, adoro, fantastico'),
			('it', -0.7, 'non deluso, nessuna fretta, senza fretta, con calma, non è urgente, colpa mia, mio errore,
				errore mio, nessun problema, non fa niente, phishing, non inutile, niente di terribile,
				non è un disastro'),
			('it', -1.0, 'non sono arrabbiato, non sono arrabbiata, non * arrabbiato, non * arrabbiata,
				non sono furioso, non sono stufo, non sono stufa, non è una lamentela, non è un reclamo,
				non è una truffa, tentativo di truffa, sono avvocato, sono un avvocato, carta per la pazienza,
				grazie per la pazienza, vostra pazienza'),
			('pt', 1.5, 'merda, porra, caralho, filhos da, bandidos, ladrões, golpistas, vigaristas, estelionatár*,
				idiota*, imbecil, imbecis, vergonha na cara, tenham vergonha, vou processar, processar vocês,
				palhaçada, vai se, vão se'),
			('pt', 1.0, 'inaceitável, inadmissível, não é aceitável, vergonhoso, vergonhosa, uma vergonha,
				que vergonha, indignado, indignada, revoltado, revoltada, cansado de esperar, cansada de esperar,
				de saco cheio, burla, fui enganado, fui enganada, nunca mais, último aviso, ação judicial,
				medidas legais, medidas judiciais, procon, reclame aqui, livro de reclamações, defesa do consumidor,
				incompetente*, incompetência, mentiroso*, brincadeira com, brincando comigo, gozar comigo,
				fazendo de palhaço, fazer de palhaço, ridículo, ridícula, perda de tempo, nojento, nojo,
				minha paciência, já chega, chega de, pior empresa, pior serviço, pior atendimento, pior experiência,
				falta de respeito, desrespeito, descaso, meu advogado vai, meu advogado entrará,
				falar com meu advogado, falar com o meu advogado, pela última vez, é a última vez, basta de,
				na justiça, em tribunal, ao tribunal, é golpe, é um golpe, um lixo, estou irritado, estou irritada,
				muito irritado, muito irritada, estou zangado, estou zangada, muito zangado, estou farto, estou farta,
				estamos fartos, estou furioso, estou furiosa, um absurdo, é absurdo, com raiva, uns mentirosos,
				é um roubo, um roubo, estão a brincar, estão de brincadeira, que palhaçada, à imprensa,
				passou dos limites'),
			('pt', 0.7, 'terceira vez, quarta vez, quinta vez, quantas vezes, quanto tempo mais, mentira*, mentindo,
				péssimo, péssima, desastre, lamentável, insatisfeito, insatisfeita, inútil, inúteis,
				não estou satisfeito, não estou satisfeita, chateado, chateada, horrível, intolerável, ignorando,
				advogado, golpe, justiça, irritado, irritada, zangado, zangada, farto, farta, furioso, furiosa, raiva,
				absurdo, desculpas, cinco vezes, quatro vezes, ninguém resolve, incompetente, mentirosos, enganado,
				roubo'),
			('pt', 0.6, 'exijo, avaliação negativa, ninguém responde, ninguém me responde, há semanas, há meses,
				faz semanas, faz meses, frustrado, frustrada, frustrante, terrível, pior, meu dinheiro,
				ainda estou à espera, continuo à espera, continuo esperando, de uma vez por todas, devolvam o meu,
				devolvam meu, um responsável, dois meses, um mês que, três semanas, caso contrário, senão vou,
				três vezes, mais uma vez, fazer queixa'),
			('pt', 0.4, 'decepcionado, decepcionada, desiludido, desiludida, sem resposta, nenhuma resposta, ainda não,
				segunda vez, redes sociais, cancelar o meu, cancelar minha, inacreditável que, dinheiro de volta,
				ninguém, duas semanas, um mês, duas vezes, agora mesmo'),
			('pt', -0.4, 'obrigado, obrigada, muito obrigado, perfeito, ótimo, ótima, excelente, adorei, feliz,
				satisfeito, satisfeita, abraço, cumprimentos, atenciosamente'),
			('pt', -0.7, 'não estou chateado, não estou chateada, sem pressa, não há pressa, não tenho pressa,
				não é urgente, culpa minha, erro meu, meu erro, não faz mal, não tem problema, phishing,
				não foi horrível, não é mentira'),
			('pt', -1.0, 'não estou zangado, não estou zangada, não estou irritado, não estou irritada,
				não estou furioso, não * zangado, não * zangada, não * irritado, não * irritada, sem raiva,
				não é uma reclamação, não é golpe, não é um golpe, tentativa de golpe, sou advogado, sou advogada,
				golpe de sorte, lixo reciclável, saco de lixo, sacos de lixo, caixote do lixo'),
			('nl', 1.5, 'klootzak*, kut*, godverdomme, verdomme, tyfus*, kanker*, oplichters, oplichter, dieven,
				idioten, idioot, schaam je, schaamt u zich, jullie moeten je schamen, flikker op, sodemieter,
				aangifte doen, doe aangifte, rot op, boeven, waardeloze bende'),
			('nl', 1.0, 'onacceptabel, niet acceptabel, onaanvaardbaar, schandalig, schandalige, schande, schandelijk,
				pisnijdig, spuugzat, ben het zat, helemaal zat, meer dan zat, ben er klaar mee, oplichting, opgelicht,
				nooit meer, laatste waarschuwing, juridische stappen, gerechtelijke stappen, rechtszaak,
				consumentenbond, consumentenautoriteit, geschillencommissie, ingebrekestelling, incompetent*,
				onbekwaam, leugenaars, leugenaar, belachelijk, lachertje, tijdverspilling, walgelijk, geduld is op,
				mijn geduld, is de maat vol, nu is het genoeg, slechtste bedrijf, slechtste service,
				slechtste ervaring, schofterig, onbeschoft, voor de gek, aan het lijntje, waardeloos, waardeloze,
				bespottelijk, om te huilen, mijn advocaat zal, mijn advocaat neemt, advocaat inschakelen,
				naar de rechter, voor de rechter, laatste keer dat ik, voor de laatste keer, ben boos, heel boos,
				erg boos, zo boos, ben kwaad, heel kwaad, erg kwaad, ben woedend, ben woest, ben razend, pik dit niet,
				pik ik niet, neem ik niet, smoesjes, een schande, geld terug en wel, zijn jullie helemaal,
				maak je een grapje, nergens op slaan, slaat nergens op, grenst aan, naar de pers, ongekend slecht'),
			('nl', 0.7, 'derde keer, vierde keer, vijfde keer, derde mail, vierde mail, hoe vaak, hoe lang nog,
				hoelang nog, liegen, gelogen, leugens, dramatisch, ramp, nutteloos, niet tevreden, ontevreden,
				genegeerd, negeren, asociaal, ongehoord, ongelofelijk slecht, drama, advocaat, boos, kwaad, woedend,
				woest, razend, rechter, excuses, vier keer, vijf keer, niet serieus, prutsers, rommel, zooitje,
				amateurs, slecht, langer'),
			('nl', 0.6, 'eis, slechte review, negatieve review, slechte recensie, niemand reageert, niemand antwoordt,
				al weken, al maanden, gefrustreerd, frustrerend, verschrikkelijk, vreselijk, slechtste,
				mijn geld terug, wacht nog steeds, nog steeds niets, dom, irritant, twee maanden, een maand,
				drie weken, anders ga ik, of ik ga, een manager, leidinggevende, drie keer, wil mijn geld,
				zoveelste keer, voor de zoveelste, weer niet'),
			('nl', 0.4, 'teleurgesteld, teleurstellend, geen antwoord, geen reactie, onmiddellijk, per direct,
				ongelofelijk, nog steeds niet, nog steeds geen, tweede keer, alweer, social media, annuleer mijn'),
			('nl', -0.4, 'bedankt, dank je, dank u, dankjewel, alvast bedankt, geweldig, perfect, tevreden, blij,
				fijne dag, vriendelijke groet, prachtig, leuk*'),
			('nl', -0.7, 'geen haast, niet dringend, heeft geen haast, mijn fout, eigen fout, geen probleem, niet erg,
				phishing, maakt niet uit, niet teleurgesteld, niet gefrustreerd, geen ramp, bij de kassa, aan de kassa,
				niet dom, mijn schuld'),
			('nl', -1.0, 'niet boos, niet * boos, niet kwaad, niet * kwaad, niet woedend, geen oplichting,
				poging tot oplichting, geen klacht, bord op schoot, ben advocaat, geen kwaad, kan geen kwaad, kassabon')
		) AS s (language, weight, phrases)
		CROSS JOIN LATERAL unnest(string_to_array(regexp_replace(s.phrases, '\s+', ' ', 'g'), ',')) AS p (phrase)
	$$;
COMMENT ON FUNCTION hotdash._escalation_phrases_shipped() IS 'The dictionaries that come with the extension';
REVOKE ALL ON FUNCTION hotdash._escalation_phrases_shipped() FROM PUBLIC;

/*
 * What this installation changed
 */

CREATE TABLE hotdash._escalation_phrase (
	language text COLLATE "C" NOT NULL,
	phrase text COLLATE "C" NOT NULL,
	weight float8 NOT NULL,
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL,
	PRIMARY KEY (language, phrase)
);
COMMENT ON TABLE hotdash._escalation_phrase IS 'Phrases that were added to the dictionaries, or weigh something else here';
COMMENT ON COLUMN hotdash._escalation_phrase.weight IS '0: it counts for nothing, also where one is shipped';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation_phrase', '');
REVOKE ALL ON hotdash._escalation_phrase FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_sla_sql_changed' LANGUAGE C;
COMMENT ON FUNCTION hotdash._escalation_changed() IS 'Trigger: what sessions know of the table is old';
REVOKE ALL ON FUNCTION hotdash._escalation_changed() FROM PUBLIC;

-- A subscription applies rows, and no statements: the trigger of rows is fired for it alone.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._escalation_phrase
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._escalation_changed();
ALTER TABLE hotdash._escalation_phrase ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._escalation_phrase
	FOR EACH ROW EXECUTE FUNCTION hotdash._escalation_changed();
ALTER TABLE hotdash._escalation_phrase ENABLE REPLICA TRIGGER applied;

CREATE FUNCTION hotdash._escalation_phrase_words(phrase text) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_sla_sql_phrase_words' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._escalation_phrase_words(text) IS 'A phrase as the dictionaries read it';
REVOKE ALL ON FUNCTION hotdash._escalation_phrase_words(text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_phrases_in_force() RETURNS TABLE (language text, phrase text, weight float8)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce(p.language, s.language), coalesce(p.phrase, s.phrase), coalesce(p.weight, s.weight)
		FROM hotdash._escalation_phrases_shipped() AS s
		FULL JOIN hotdash._escalation_phrase AS p ON p.language = s.language AND p.phrase = s.phrase
		WHERE p.weight IS DISTINCT FROM 0
	$$;
COMMENT ON FUNCTION hotdash._escalation_phrases_in_force() IS 'Phrases that count, of all languages';
REVOKE ALL ON FUNCTION hotdash._escalation_phrases_in_force() FROM PUBLIC;

CREATE VIEW hotdash.escalation_phrases WITH (security_invoker = true) AS
	SELECT coalesce(p.language, s.language) AS language, coalesce(p.phrase, s.phrase) AS phrase,
		coalesce(p.weight, s.weight) AS weight, s.weight AS shipped_weight, p.changed_at, p.changed_by
	FROM hotdash._escalation_phrases_shipped() AS s
	FULL JOIN hotdash._escalation_phrase AS p ON p.language = s.language AND p.phrase = s.phrase;
COMMENT ON VIEW hotdash.escalation_phrases IS
	'The dictionaries of angry language: shipped_weight is null for phrases that were added here';

CREATE FUNCTION hotdash.escalation_phrase_set(language text, phrase text, weight float8) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		most constant int := 2000;
		code constant text := lower(language);
		said constant text := lower(normalize(btrim(regexp_replace(phrase, '\s+', ' ', 'g'))));
		words text[];
	BEGIN
		PERFORM hotdash._require_arg(language, 'language');
		PERFORM hotdash._require_arg(phrase, 'phrase');
		PERFORM hotdash._require_arg(weight, 'weight');
		IF code !~ '^[a-z]{2,3}$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid language',
				DETAIL = 'It is a code of ISO 639 with two or three letters, such as en.';
		END IF;
		IF NOT weight BETWEEN -100 AND 100 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'weight must be between -100 and 100';
		END IF;
		words := CASE WHEN octet_length(said) <= 200 THEN string_to_array(hotdash._escalation_phrase_words(said), ' ') END;
		IF words IS NULL OR cardinality(words) NOT BETWEEN 1 AND 10 OR words[1] = '*' OR words[cardinality(words)] = '*'
				OR EXISTS (SELECT FROM unnest(words) AS w
					WHERE w <> '*' AND to_tsvector('hotdash._words', rtrim(w, '*')) = '') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid phrase',
				DETAIL = 'It has 1 to 10 words in at most 200 bytes; * stands for any word between two, or for any ending of one.';
		END IF;
		PERFORM hotdash._instance_use();
		IF (SELECT count(*) >= most AND NOT coalesce(bool_or(p.phrase = said), false)
				FROM hotdash._escalation_phrase AS p WHERE p.language = code) THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = format('a dictionary has room for %s phrases of its own', most);
		END IF;
		INSERT INTO hotdash._escalation_phrase AS p
		VALUES (code, said, weight, hotdash._now(), hotdash._acting_role())
		ON CONFLICT ON CONSTRAINT _escalation_phrase_pkey DO UPDATE
		SET weight = excluded.weight, changed_at = excluded.changed_at, changed_by = excluded.changed_by;
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_phrase_set(text, text, float8) IS
	'Adds a phrase to the dictionary of a language, or changes what it weighs: from 1 on it is angry alone, 0 switches it off, below 0 it takes back';
REVOKE ALL ON FUNCTION hotdash.escalation_phrase_set(text, text, float8) FROM PUBLIC;

CREATE FUNCTION hotdash.escalation_phrase_delete(language text, phrase text) RETURNS bool
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(language, 'language');
		PERFORM hotdash._require_arg(phrase, 'phrase');
		DELETE FROM hotdash._escalation_phrase AS p
		WHERE p.language = lower(escalation_phrase_delete.language)
			AND p.phrase = lower(normalize(btrim(regexp_replace(escalation_phrase_delete.phrase, '\s+', ' ', 'g'))));
		RETURN FOUND;
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_phrase_delete(text, text) IS
	'Forgets what escalation_phrase_set said of a phrase; one that is shipped weighs what it did';
REVOKE ALL ON FUNCTION hotdash.escalation_phrase_delete(text, text) FROM PUBLIC;

/*
 * Asking
 */

CREATE TYPE hotdash.language_result AS (
	angry bool,
	score float8,
	matches text[],
	language text
);
COMMENT ON TYPE hotdash.language_result IS
	'How a message sounds: whether it is angry, by how much, what was found, and the dictionary that it was found in';

CREATE FUNCTION hotdash.escalation_language(message text, language text DEFAULT NULL) RETURNS hotdash.language_result
	AS 'MODULE_PATHNAME', 'hd_sla_sql_language' LANGUAGE C STABLE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION hotdash.escalation_language(text, text) IS
	'Whether a message sounds angry, by the dictionary of a language (de-CH is de), else by the one that finds most';
REVOKE ALL ON FUNCTION hotdash.escalation_language(text, text) FROM PUBLIC;
