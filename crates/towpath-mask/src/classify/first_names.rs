//! Frequent first names, to tell a column of people from one of products. Those that are also
//! ordinary words (Mark, Rose, May, Will) are left out: a shop is full of them.

use std::collections::HashSet;
use std::sync::LazyLock;

/// In lower case.
const NAMES: &str = "\
    aaron adam adrian agnes ahmed alan albert alejandro alexander alexandra ali alice alina \
    amanda amelie amy ana anastasia andrea andreas andrew andrzej angela anita anja ann anna \
    anne anthony antje anton antonia antonio arthur ashley astrid barbara beate benjamin bernd \
    bettina betty birgit brandon brenda brian brigitte bruce carl carla carlos carmen carol \
    caroline catherine charles charlotte chiara christian christina christine christoph \
    christopher clara claudia cornelia cynthia daniel daniela david deborah debra denise \
    dennis diana dieter dirk dominik donald donna dorothea dorothy douglas edward elena elias \
    elizabeth elke ella ellen emil emilia emily emma eric erika ernst eugene eva fabian fatima \
    felix finn florian francesca frank franz franziska frieda friedrich fritz gabriele gary \
    georg george gerald gerd gerhard gisela giulia giuseppe gregory gudrun hanna hannah \
    hannelore hans harald harold harry heather heike heinrich heinz helen helena helga henry \
    herbert hermann holger horst hubert ibrahim ida ilse ines inge ingrid irene isabel \
    isabella jacob jacqueline jakob james jan jana jane janet janice jason jennifer jens \
    jeremy jessica joachim joan joanna johann johanna johannes john jonas jonathan jorge jose \
    joseph joshua joyce juan judith julia julian juliane karen karin karl karla katarzyna \
    katharina katherine kathleen katja katrin keith kelly kenneth kerstin kevin kimberly klara \
    klaus kristin kurt kyle lara larry lars laura lauren lea lena leon leonie liam lina linda \
    lisa lothar louis luca lucas lucia luis luisa lukas luke magdalena manfred manuel manuela \
    marcel marco marcus margaret margarete maria marie mario marion markus marlene martha \
    martin martina mary mathilda matthew matthias mehmet melanie melissa mia michael michaela \
    michelle miguel mila mohamed mohammed monika moritz mustafa nadine nancy natalia natalie \
    nathan nicholas nicole nils nina noah norbert olga oliver olivia oskar otto pamela \
    patricia patrick paul paula pedro peter petra philip philipp pierre rachel rainer ralf \
    ralph raymond rebecca regina renate richard robert roger roland rolf ronald rudolf ruth \
    ryan sabine samantha samuel sandra sara sarah sebastian sharon shirley silke silvia simon \
    simone sofia sofie sonja sophia sophie stefan stefanie stephanie stephen steven susan \
    susanne sven sylvia tanja teresa theresa thomas thorsten tim timothy tobias tom torsten \
    tyler udo ulrich ulrike ursula uta ute uwe valentina vanessa vera veronika victoria viktor \
    vincent volker walter waltraud wanda werner wilhelm william wolfgang xaver yusuf yvonne \
    zachary zoe";

static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| NAMES.split_ascii_whitespace().collect());

/// Whether a word, whatever its case, is a first name.
pub(super) fn is_one(word: &str) -> bool {
    let word = word.to_lowercase();
    SET.contains(word.as_str())
}
