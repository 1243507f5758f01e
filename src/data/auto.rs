//! Resolves a tokenizer class, as `AutoTokenizer` of transformers 5.24 does for a local directory.

use super::tokenizer_class::TokenizerClass;

/// The class that uses a `tokenizer.json` unchanged.
const UNCHANGED: &str = "TokenizersBackend";

/// Classes and the model types registered for them. Types without a configuration in transformers are left out, since
/// transformers ignores their classes.
const REGISTERED: &[(&str, &str)] = &[
    ("CohereTokenizer", "aya_vision cohere cohere2"),
    ("GPT2Tokenizer", "blip-2 codegen dbrx emu3 gpt-sw3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip instructblipvideo jais2 opt phi starcoder2"),
    ("GPTNeoXTokenizer", "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm"),
    ("GemmaTokenizer", "diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma zaya"),
    ("LlamaTokenizer", "idefics idefics2"),
    (
        "Qwen2Tokenizer",
        "audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl lighton_ocr moss_transcribe_diarize ovis2 qianfan_ocr \
         qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe \
         vibevoice",
    ),
    ("Qwen3_5Tokenizer", "qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp"),
    ("RobertaTokenizer", "bart bridgetower clap data2vec-text florence2 ibert led lilt longformer mra mvp roberta roberta-prelayernorm"),
    ("Siglip2Tokenizer", "siglip2"),
    (
        "TokenizersBackend",
        "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm cohere_asr ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 \
         glm4_moe glm4_moe_lite glm4v glm4v_moe glm_image glmasr got_ocr2 gpt_bigcode gradium_phonon_tts granite granitemoe granitemoehybrid \
         granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm internlm2 internlm3 iquestcoder jamba kimi_k25 kimi_linear kosmos-2 llava \
         llava_next mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 minicpmv4_7 minimax_m2 ministral ministral3 mistral mistral3 \
         mistral_large4 mixtral modernbert modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2 olmo3 olmo_hybrid \
         omniasr opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v phimoe pix2struct pixtral pocket_tts smolvlm stablelm step3_vl \
         umt5 vipllava voxtral voxtral_realtime xlm-roberta-xl",
    ),
    ("AlbertTokenizer", "albert yoso"),
    (
        "BertTokenizer",
        "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git grounding-dino layoutlm lxmert megatron-bert \
         mm-grounding-dino mobilebert nomic_bert squeezebert tvp vilt visual_bert",
    ),
    ("BigBirdTokenizer", "big_bird"),
    ("BioGptTokenizer", "biogpt"),
    ("BlenderbotSmallTokenizer", "blenderbot-small"),
    ("BlenderbotTokenizer", "blenderbot"),
    ("CLIPTokenizer", "aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip"),
    ("CTRLTokenizer", "ctrl"),
    ("CamembertTokenizer", "camembert"),
    ("CanineTokenizer", "canine"),
    ("ClvpTokenizer", "clvp"),
    ("CpmAntTokenizer", "cpmant"),
    ("DPRQuestionEncoderTokenizer", "dpr"),
    ("DebertaTokenizer", "deberta"),
    ("DebertaV2Tokenizer", "deberta-v2"),
    ("DiaTokenizer", "dia"),
    ("EsmTokenizer", "esm"),
    ("EsmcTokenizer", "esmc esmfold2"),
    ("FNetTokenizer", "fnet"),
    ("FSMTTokenizer", "fsmt"),
    ("FlaubertTokenizer", "flaubert"),
    ("FunnelTokenizer", "funnel"),
    ("GPTNeoXJapaneseTokenizer", "gpt_neox_japanese"),
    ("LasrTokenizer", "lasr_ctc lasr_encoder"),
    ("LayoutLMv2Tokenizer", "layoutlmv2"),
    ("LayoutLMv3Tokenizer", "layoutlmv3"),
    ("LayoutXLMTokenizer", "layoutxlm"),
    ("LukeTokenizer", "luke"),
    ("MBartTokenizer", "mbart"),
    ("MPNetTokenizer", "mpnet"),
    ("MarkupLMTokenizer", "markuplm"),
    ("MgpstrTokenizer", "mgp-str"),
    ("NllbTokenizer", "nllb-moe"),
    ("NougatTokenizer", "pp_formulanet"),
    ("OpenAIGPTTokenizer", "openai-gpt"),
    ("PLBartTokenizer", "plbart"),
    ("ParakeetTokenizer", "granite_speech5_ctc nemotron3_5_asr nemotron_asr_streaming omniasr_ctc parakeet_ctc parakeet_rnnt parakeet_tdt"),
    ("PegasusTokenizer", "pegasus"),
    ("PerceiverTokenizer", "perceiver"),
    ("ProphetNetTokenizer", "prophetnet"),
    ("RagTokenizer", "rag"),
    ("ReformerTokenizer", "reformer"),
    ("RemBertTokenizer", "rembert"),
    ("RoCBertTokenizer", "roc_bert"),
    ("RoFormerTokenizer", "roformer"),
    ("SeamlessM4TTokenizer", "seamless_m4t seamless_m4t_v2"),
    ("SplinterTokenizer", "splinter"),
    ("T5Tokenizer", "mt5 musicgen musicgen_melody switch_transformers t5"),
    ("TapasTokenizer", "tapas"),
    ("UdopTokenizer", "udop"),
    ("VideoPrismTokenizer", "videoprism"),
    ("VitsTokenizer", "vits"),
    ("Wav2Vec2CTCTokenizer", "data2vec-audio hubert unispeech unispeech-sat wav2vec2 wav2vec2-bert wav2vec2-conformer"),
    ("WhisperTokenizer", "whisper"),
    ("XGLMTokenizer", "xglm"),
    ("XLMRobertaTokenizer", "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod"),
    ("XLMTokenizer", "xlm"),
    ("XLNetTokenizer", "xlnet"),
];

/// Model types whose registered class takes precedence over the one that their files declare.
const OVERRULED: &str = "hyperclovax_vision_v2 qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp siglip2";

/// Classes that transformers builds with its own code, which Signet does not implement.
const REFUSED: &str = "AlbertTokenizer BarthezTokenizer BartphoTokenizer BertGenerationTokenizer BertJapaneseTokenizer BertTokenizer BertweetTokenizer \
 BigBirdTokenizer BioGptTokenizer BlenderbotSmallTokenizer BlenderbotTokenizer ByT5Tokenizer CLIPTokenizer CTRLTokenizer CamembertTokenizer \
 CanineTokenizer ClvpTokenizer ConvBertTokenizer CpmAntTokenizer CpmTokenizer DPRContextEncoderTokenizer DPRQuestionEncoderTokenizer \
 DPRReaderTokenizer DebertaTokenizer DebertaV2Tokenizer DiaTokenizer DistilBertTokenizer ElectraTokenizer EsmTokenizer EsmcTokenizer FNetTokenizer \
 FSMTTokenizer FastSpeech2ConformerTokenizer FlaubertTokenizer FunnelTokenizer GPTNeoXJapaneseTokenizer GPTSw3Tokenizer HerbertTokenizer \
 LasrTokenizer LayoutLMTokenizer LayoutLMv2Tokenizer LayoutLMv3Tokenizer LayoutXLMTokenizer LukeTokenizer LxmertTokenizer M2M100Tokenizer MBart50Tokenizer \
 MBartTokenizer MLukeTokenizer MPNetTokenizer MarianTokenizer MarkupLMTokenizer MgpstrTokenizer MistralCommonBackend MobileBertTokenizer \
 MyT5Tokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer PLBartTokenizer PegasusTokenizer PerceiverTokenizer PhobertTokenizer \
 Pop2PianoTokenizer ProphetNetTokenizer RagTokenizer ReformerTokenizer RemBertTokenizer RoCBertTokenizer RoFormerTokenizer \
 SeamlessM4TTokenizer SiglipTokenizer Speech2TextTokenizer SpeechT5Tokenizer SplinterTokenizer SqueezeBertTokenizer T5Tokenizer \
 TapasTokenizer Tipsv2Tokenizer UdopTokenizer VideoPrismTokenizer VitsTokenizer Wav2Vec2CTCTokenizer Wav2Vec2PhonemeCTCTokenizer \
 WhisperTokenizer XGLMTokenizer XLMRobertaTokenizer XLMTokenizer XLNetTokenizer";

/// Returns true if a list of words separated by spaces contains `word`.
fn has_word(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Returns the class that rebuilds the tokenizer in a `tokenizer.json`, from the class and the model type that the files
/// next to it declare; `None` if the file is used unchanged. Fails for a class that Signet does not implement.
pub(super) fn class(declared: Option<&str>, model_type: Option<&str>, tokenizer: &[u8]) -> Result<Option<&'static TokenizerClass>, String> {
    const BYTES: &[u8] = b"\"ByteLevel\"";
    let model_type = model_type.unwrap_or_default();
    let registered = REGISTERED.iter().find(|(_, types)| has_word(types, model_type)).map(|(class, _)| *class);
    let declared = declared.map(|name| name.strip_suffix("Fast").unwrap_or(name));
    let overruled = has_word(OVERRULED, model_type);
    let name = match registered {
        Some(class) if class == UNCHANGED || overruled => class,
        _ => declared.or(registered).unwrap_or(UNCHANGED),
    };
    // Llama 3 declares this class, but has a byte-level BPE.
    if declared == Some("LlamaTokenizer") && !overruled && tokenizer.windows(BYTES.len()).any(|part| part == BYTES) {
        return Ok(None);
    }
    match TokenizerClass::named(name) {
        None if has_word(REFUSED, name) => Err(format!(
            "cannot read it as {name}: Signet does not implement that class's own code. To read tokenizer.json as \
             it is, set \"tokenizer_class\": \"PreTrainedTokenizerFast\" in tokenizer_config.json"
        )),
        class => Ok(class),
    }
}
